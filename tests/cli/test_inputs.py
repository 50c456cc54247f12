"""What predict reads of folders, and what is refused before the work."""

from pathlib import Path

import pytest

from jaxvision.cli.predict import only_readable, states_of_files
from jaxvision.errors import InputError, check_writable


def touch(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return sorted(folder / name for name in names)


def test_a_folder_gives_what_the_method_reads(tmp_path, capsys):
    names = (".DS_Store", "._a.mp4", "a.mp4", "notes.txt", ".ipynb_checkpoints/a.mp4", "b/c.MP4")
    paths = touch(tmp_path, *names)
    kept = only_readable(paths, [str(tmp_path)], (".mp4",))
    assert kept == [tmp_path / "a.mp4", tmp_path / "b/c.MP4"]
    assert capsys.readouterr().err == "skipped: 1 .txt, 3 hidden\n"


def test_what_is_read_beside_an_input_is_not_called_skipped(tmp_path, capsys):
    names = ("a.mp4", "a.txt", "b/c.mp4", "b/a.txt", "c.csv", "a_people.json", "b/a_people.json")
    paths = touch(tmp_path, *names)
    kept = only_readable(paths, [str(tmp_path)], (".mp4",), (".txt", "_people.json"))
    assert kept == [tmp_path / "a.mp4", tmp_path / "b/c.mp4"]
    assert capsys.readouterr().err == "skipped: 1 .csv, 1 .json, 1 .txt\n"


def test_what_is_named_itself_is_read(tmp_path):
    (path,) = touch(tmp_path, "clip.unknown")
    assert only_readable([path], [str(path)], (".mp4",)) == [path]


def test_a_match_is_chosen_as_a_folder_is(tmp_path):
    paths = touch(tmp_path, "a.mp4", "a.txt")
    assert only_readable(paths, [f"{tmp_path}/a*"], (".mp4",)) == [tmp_path / "a.mp4"]


def test_a_folder_of_nothing_is_refused(tmp_path):
    paths = touch(tmp_path, "notes.txt")
    with pytest.raises(
        InputError, match=r"nothing to read \(expected \.bin, \.ply; there are 1 \.txt\)"
    ):
        only_readable(paths, [str(tmp_path)], (".bin", ".ply"))


def test_out_that_is_a_file_is_refused(tmp_path):
    (file,) = touch(tmp_path, "out")
    for out in (file, file / "below"):
        with pytest.raises(
            InputError, match=r"cannot be written: .*out is a file, expected a folder"
        ):
            check_writable(out)
    with pytest.raises(InputError, match="is a folder, expected a file"):
        check_writable(tmp_path, file=True)
    check_writable(file, file=True)
    check_writable(tmp_path / "new" / "folder")
    assert not (tmp_path / "new").exists()


def test_files_that_a_config_names_are_part_of_a_job(tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("a dog runs")
    data = {"query": str(words), "train": "", "frames": 8, "root": str(tmp_path)}
    before = states_of_files(data)
    assert list(before) == ["data.query"]
    words.write_text("a dog runs away")
    assert states_of_files(data) != before
    assert states_of_files({"query": "a sentence " * 200}) == {}
