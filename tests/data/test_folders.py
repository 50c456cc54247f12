"""Folders and lists as people keep them: what is no data is skipped and counted."""

import pytest

from jaxvision.data import pictures
from jaxvision.data.folders import choose, classes_text, files_below, files_by_class
from jaxvision.data.frame_interpolation import frame_folders
from jaxvision.data.labelled_pictures import class_names, picture_folder, picture_list
from jaxvision.data.labels import read_labels
from jaxvision.data.lidar.own_scans import scan_files
from jaxvision.data.prepare_videos import Preparation
from jaxvision.data.procedure_files import plain
from jaxvision.data.video_list import read_class_folders, read_list
from jaxvision.errors import InputError

VIDEOS = ("run/a.mp4", "run/b.MP4", "jump/c.mkv")
REST = (
    *(".DS_Store", "run/.DS_Store", "run/._a.mp4", ".ipynb_checkpoints/a.mp4", "__MACOSX/a.mp4"),
    *("run/notes.txt", "jump/notes.txt", "jump/Thumbs.db", "prepared.json"),
)


@pytest.fixture
def folder(tmp_path):
    for name in (*VIDEOS, *REST):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_classes_are_the_folders_that_a_person_made(folder):
    found = read_class_folders(folder)
    assert found.names == ("jump", "run")
    assert [(i.path.relative_to(folder).as_posix(), i.label) for i in found.items] == [
        ("jump/c.mkv", 0),
        ("run/a.mp4", 1),
        ("run/b.MP4", 1),
    ]
    assert found.skipped == {"hidden": 2, ".txt": 2, ".db": 1}
    assert found.summary() == (
        "3 videos of 2 classes: jump 1, run 2; skipped: 1 .db, 2 .txt, 2 hidden"
    )


def test_pictures_of_classes_likewise(folder):
    for name in ("run", "jump"):
        (folder / name / "0.png").write_bytes(b"")
    assert class_names(folder) == ("jump", "run")
    found = picture_folder(folder, ("jump", "run"))
    assert found.labels == (0, 1)
    assert found.summary().startswith("2 pictures of 2 classes: jump 1, run 1; skipped: ")


def test_an_empty_class_is_refused_with_what_is_there(folder):
    (folder / "sit").mkdir()
    (folder / "sit" / "notes.txt").write_text("later")
    with pytest.raises(InputError, match=r"sit: an empty class: no videos .*; it holds 1 \.txt"):
        read_class_folders(folder)
    with pytest.raises(InputError, match="an empty class"):
        files_by_class(folder, ("jump", "run", "sit"), (".mp4", ".mkv"), "videos")


def test_what_is_hidden_is_no_picture_frame_or_scan(tmp_path):
    for name in ("a/1.png", "a/2.png", "a/._1.png", ".trash/1.png", ".trash/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    for name in ("a/1.bin", ".trash/1.bin", "a/._1.bin"):
        (tmp_path / name).write_bytes(b"")
    frames = (tmp_path / "a" / "1.png", tmp_path / "a" / "2.png")
    assert pictures.folder(tmp_path).paths == frames
    assert frame_folders(tmp_path, 2).paths == [frames]
    assert scan_files(tmp_path) == (tmp_path / "a" / "1.bin",)


def test_a_hidden_folder_above_hides_nothing(tmp_path):
    inside = tmp_path / ".cache" / "videos"
    inside.mkdir(parents=True)
    (inside / "a.mp4").write_bytes(b"")
    assert files_below(inside, (".mp4",)).files == (inside / "a.mp4",)
    assert choose([(inside / "a.mp4", tmp_path)], ()).skipped == {"hidden": 1}


def test_many_classes_are_not_all_named():
    line = classes_text([0, 1], [f"c{n}" for n in range(30)], "videos", {})
    assert "c19 0, ..." in line
    assert "c20" not in line


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_lists_and_labels_of_any_editor(tmp_path, ending):
    mark = "\ufeff".encode()
    file = tmp_path / "list.txt"
    file.write_bytes(mark + ending.join(["a.mp4 0", '"my clips/b.mp4" 1', ""]).encode())
    items = read_list(file, 2)
    assert [(str(item.path), item.label) for item in items] == [("a.mp4", 0), ("my clips/b.mp4", 1)]
    file.write_bytes(mark + ending.join(["a.png\t0", '"b.png"\t1', ""]).encode())
    assert picture_list(file, 2).paths == (tmp_path / "a.png", tmp_path / "b.png")
    file.write_bytes(mark + ending.join(["run", '"jump high"', ""]).encode())
    assert read_labels(file) == ("run", "jump high")


def test_a_labels_file_that_is_missing_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"absent\.txt: cannot be read: No such file"):
        read_labels(tmp_path / "absent.txt")


def test_a_record_without_its_task_is_named(tmp_path):
    (tmp_path / "labels.json").write_text('{"tasks": ["tea"], "actions": ["pour"]}')
    (tmp_path / "train.json").write_text('[{"feature": "a.npy", "steps": [["pour", 0, 2]]}]')
    with pytest.raises(InputError, match=r"train\.json: \[0\]: no 'task' in it"):
        plain(tmp_path, "train", None)


def test_quotes_around_every_column(tmp_path):
    (tmp_path / "list.csv").write_text('"a, b.mp4","1"\n"say ""c"".mp4",0\n')
    items = read_list(tmp_path / "list.csv", 2)
    assert [(str(item.path), item.label) for item in items] == [
        ("a, b.mp4", 1),
        ('say "c".mp4', 0),
    ]
    (tmp_path / "map.txt").write_text('"x/a.png"\t"1"\n\n')
    assert picture_list(tmp_path / "map.txt", 2).labels == (1,)


@pytest.mark.parametrize("text", ["id,name\n0,run\n1,jump\n", "0\trun\n1\tjump\n", '["run"]'])
def test_tables_are_no_names_of_classes(tmp_path, text):
    """A head would be one class too large, and its names wrong."""
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(InputError, match=r"labels\.csv: .*expected names alone, one a line"):
        read_labels(tmp_path / "labels.csv")


def test_files_beside_the_classes_and_links_to_folders_are_counted(tmp_path):
    for name in ("run/a.mp4", "jump/b.mp4", "loose.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "run" / "more").symlink_to(tmp_path / "jump")
    (tmp_path / "lost+found").mkdir()
    records = read_class_folders(tmp_path)
    assert records.names == ("jump", "run")
    assert records.skipped == {"linked folder": 1, "videos in no class's folder": 1}


@pytest.mark.parametrize("line", ['"a, b.mp4",0', "a, b.mp4,0", '"a, b.mp4" 0'])
def test_a_list_that_is_prepared_is_one_that_training_reads(tmp_path, line):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a, b.mp4").touch()
    (tmp_path / "list.csv").write_text(f"{line}\n")
    (item,) = read_list(tmp_path / "list.csv", 1)
    lists = (tmp_path / "list.csv",)
    made = Preparation(tmp_path / "videos", tmp_path / "out", 48, lists=lists)
    assert made.names == (str(item.path),)


def test_parts_of_a_data_set_are_no_classes(tmp_path):
    for name in ("train/run/a.mp4", "val/run/b.mp4"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"")
    for read in (read_class_folders, class_names):
        with pytest.raises(InputError, match=r"folders are train, val: .* expected .*/train"):
            read(tmp_path)
    (tmp_path / "boat").mkdir()  # a class may be called "train"
    assert class_names(tmp_path) == ("boat", "train", "val")
