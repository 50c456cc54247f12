"""Vocabularies, cleaning, [CLS] first and no [SEP] behind."""

import numpy as np
import pytest

from jaxvision.data.word_pieces import SPECIAL, WordPieces, clean_caption
from jaxvision.errors import InputError

VOCABULARY = [*SPECIAL, "a", "man", "##s", "red", "car", "naive", "\x85", "2", "##0"]


@pytest.fixture
def pieces(tmp_path):
    file = tmp_path / "vocab.txt"
    file.write_bytes(("\n".join(VOCABULARY) + "\n").encode())
    return WordPieces(file)


def test_ids_are_lines_split_at_line_feeds_alone(pieces):
    assert pieces.size == len(VOCABULARY)
    assert pieces.id("car") == VOCABULARY.index("car")
    assert pieces.id("##0") == len(VOCABULARY) - 1  # behind a piece that Python splits at


def test_sentences_begin_with_cls_and_have_no_separator(pieces):
    ids, mask = pieces.encode(["a mans Red", "", "Naïve zebra 20"], 6)
    rows = [[2, 5, 6, 7, 8, 0], [2, 0, 0, 0, 0, 0], [2, 10, 1, 12, 13, 0]]
    np.testing.assert_array_equal(ids, rows)
    np.testing.assert_array_equal(mask.sum(axis=1), [5, 1, 5])


def test_long_sentences_keep_their_beginning(pieces):
    ids, mask = pieces.encode(["a a a a a a"], 3)
    np.testing.assert_array_equal(ids, [[2, 5, 5]])
    assert mask.all()


def test_answers_end_with_a_separator_unless_cut(pieces):
    ids, _ = pieces.encode_answers(["man", "red car a"], 4)
    np.testing.assert_array_equal(ids, [[2, 6, 3, 0], [2, 8, 9, 5]])


def test_a_separator_in_small_letters_is_no_separator(pieces):
    ids, _ = pieces.encode(["[sep]"], 5)
    np.testing.assert_array_equal(ids, [[2, 1, 1, 1, 0]])


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ('"A man," (said) it\'s; #1: *~?!.', "a man said its 1"),
        ("cat-car/van", "cat car van"),
        ("<person>  waves\n", "person waves"),
        ("", ""),
    ],
)
def test_cleaning(raw, cleaned):
    assert clean_caption(raw) == cleaned


def test_missing_special_pieces_are_named(tmp_path):
    file = tmp_path / "vocab.txt"
    file.write_text("[PAD]\n[UNK]\n[CLS]\na\nman\n")
    with pytest.raises(InputError, match=r"vocab\.txt: a vocabulary without \[SEP\], \[MASK\]"):
        WordPieces(file)


def test_the_word_table_must_have_a_row_for_every_piece(pieces):
    pieces.check_size(len(VOCABULARY))
    with pytest.raises(InputError, match=r"14 pieces for a word table of 30522 rows"):
        pieces.check_size(30522)


def test_files_that_are_no_vocabulary(tmp_path):
    file = tmp_path / "vocab.txt"
    with pytest.raises(InputError, match="cannot be read as a vocabulary"):
        WordPieces(file)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read as a vocabulary"):
        WordPieces(file)
    file.write_text("one\n")
    with pytest.raises(InputError, match="1 lines"):
        WordPieces(file)


def test_a_vocabulary_that_an_editor_wrote_anew(tmp_path, pieces):
    """With a byte order mark, and lines that end as Windows ends them."""
    file = tmp_path / "edited.txt"
    file.write_bytes(("\r\n".join(VOCABULARY) + "\r\n").encode("utf-8-sig"))
    edited = WordPieces(file)
    assert edited.size == pieces.size
    assert [edited.id(piece) for piece in VOCABULARY] == list(range(len(VOCABULARY)))


def test_half_a_character_is_an_unknown_word(pieces):
    ids, _ = pieces.encode(["red \ud83d car"], 5)
    np.testing.assert_array_equal(ids, [[2, 8, 1, 9, 0]])


def test_unknown_piece(pieces):
    with pytest.raises(InputError, match="no piece 'zebra'"):
        pieces.id("zebra")
