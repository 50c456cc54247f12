"""The one reader of text and of JSON: what is wrong is said with the file and the place."""

import json

import pytest

from jaxvision import text_files
from jaxvision.errors import MOST, InputError
from jaxvision.text_files import OrNull, a_count, a_file_name, a_token, integer, number

SHAPE = {"boxes": [{"size": (float,) * 3, "name?": str}], "table": {str: a_count}}
GOOD = {"boxes": [{"size": [1, 2, 3.5]}, {"size": [0, 0, 0], "name": "a"}], "table": {"x": 3}}


def test_text_is_utf8_with_or_without_a_mark(tmp_path):
    file = tmp_path / "a.txt"
    for start in (b"", b"\xef\xbb\xbf"):
        file.write_bytes(start + "straße\r\nb\rc\u2028d\n".encode())
        assert text_files.read_lines(file) == ["straße", "b", "c\u2028d"]
    file.write_text("a", "utf-16")
    with pytest.raises(InputError, match=r"a\.txt: text in UTF-16; expected UTF-8"):
        text_files.read_text(file)
    file.write_bytes(b"one\nstra\xdfe\n")
    with pytest.raises(InputError, match=r"a\.txt:2: byte 8 is not UTF-8"):
        text_files.read_text(file)
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="cannot be read: "):
            text_files.read_text(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": 3}, "boxes: 3; expected a list"),
        ({"boxes": [{"size": [1, 2]}]}, r"boxes\[0\]\.size: 2 values; expected 3"),
        ({"boxes": [{"size": [1, 2, "3"]}]}, r"boxes\[0\]\.size\[2\]: '3'; expected a number"),
        ({"boxes": [{"size": [1, 2, True]}]}, r"\[2\]: True; expected a number"),
        ({"boxes": [{"size": [1, 2, float("nan")]}]}, r"\[2\]: nan; expected a number"),
        ({"boxes": [{"size": [1, 2, 10**400]}]}, r"\[2\]: 1000+ \.\.\. .*expected a number"),
        ({"boxes": [{}]}, r"boxes\[0\]: no 'size' in it"),
        ({"boxes": [{"size": [1, 2, 3], "name": None}]}, r"\.name: None; expected a text"),
        ({"table": {"x": -1}}, r"table\.x: -1; expected a count"),
        ({"table": {"\x1b[2J" * 90: 0.5}}, r"table\.\\x1b.* \.\.\. .*0\.5; expected a count"),
    ],
)
def test_json_of_another_shape_is_refused_at_its_place(tmp_path, change, message):
    file = tmp_path / "a.json"
    file.write_text(json.dumps(GOOD))
    assert text_files.read_json(file, SHAPE) == GOOD
    file.write_text(json.dumps(GOOD | change))
    with pytest.raises(InputError, match=rf"a\.json: .*{message}") as caught:
        text_files.read_json(file, SHAPE)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_what_fits_has_no_misfit():
    for shape, value in ((SHAPE, GOOD), ([OrNull((int, str))], [None, [1, "a"]]), ({str: int}, {})):
        assert text_files.fits(shape)(value)
        assert not list(text_files.misfits(value, shape))
    for shape, value in (([int], [1, "a"]), ({"a?": int}, {"a": None}), ((int,), [1, 2])):
        assert not text_files.fits(shape)(value)
        assert list(text_files.misfits(value, shape))


@pytest.mark.parametrize("text", ["", "{", "[" * 10**5, "nope", "1" * 5000])
def test_what_is_no_json_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=r"a\.json: not JSON") as caught:
        text_files.read_json(tmp_path / "a.json")
    assert len(str(caught.value)) < MOST


def test_a_key_that_stands_twice_is_refused_by_name(tmp_path):
    (tmp_path / "a.json").write_text('[{"a": 1, "b": {"c": 1, "d": 2, "c": 3}}]')
    with pytest.raises(InputError, match=r"a\.json: not JSON \(the key 'c' stands twice\)"):
        text_files.read_json(tmp_path / "a.json")


def test_null_where_it_is_allowed():
    text_files.check_shape([None, [1]], [OrNull([int])], "x")
    text_files.check_shape([None, 1.5], [float | None], "x")
    with pytest.raises(InputError, match=r"x: \[0\]: 'a'; expected a number or null"):
        text_files.check_shape(["a"], [float | None], "x")


@pytest.mark.parametrize("text", ["²", "--5", "\u0661", "1_0", "", "9" * 19, "0x1", "1.0"])
def test_only_ascii_digits_make_a_whole_number(text):
    assert integer("-12") == -12
    assert integer(text) is None


@pytest.mark.parametrize("text", ["nan", "inf", "1e999", "1_0", "\u0663", "", "0x1"])
def test_only_finite_numbers_are_numbers(text):
    assert number(" -1.5e3 ") == -1500
    assert number(text) is None


def test_names_that_may_become_files():
    assert a_token("fb13-3e_9")
    assert a_file_name("00001.array_record")
    for name in ("", "..", "../x", "/x", "a/b", 3, "a\0"):
        assert not a_token(name)
        assert not a_file_name(name)


def test_a_torn_line_is_no_row(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"step": 1}\n[2]\n{"step": 3}\n{"ste')
    assert text_files.read_rows(tmp_path / "a.jsonl") == [{"step": 1}, {"step": 3}]
