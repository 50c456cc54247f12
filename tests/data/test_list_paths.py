"""Paths of lists: one rule for all of them, as a shell in `data.root` would take them."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxvision.data.actions.key_frames import own_key_frames
from jaxvision.data.actions.own_lists import COLUMNS, read_own_list
from jaxvision.data.caption_records import read_captions, read_questions
from jaxvision.data.video_list import read_list, read_unlabelled_list
from jaxvision.viz.files import write_mp4


def labelled(root: Path, name: str) -> list[Path]:
    (root / "list.txt").write_text(f"{name} 0\n")
    return [item.path for item in read_list(root / "list.txt", 1, root)]


def unlabelled(root: Path, name: str) -> list[Path]:
    (root / "list.txt").write_text(f"{name} 0 -1\n")
    items = read_unlabelled_list(root / "list.txt", root, lambda path: "{:05}.jpg")
    return [item.path for item in items]


def captions(root: Path, name: str) -> list:
    (root / "list.json").write_text(json.dumps([{"video": name, "caption": "a", "question": "b"}]))
    file = root / "list.json"
    return [record.path for record in (*read_captions(file, root), *read_questions(file, root))]


def people(root: Path, name: str) -> list[Path]:
    (root / "list.csv").write_text(f"{','.join(COLUMNS)}\n{name},0,a,0,0,1,1,\n")
    return own_key_frames(read_own_list(root / "list.csv", ("walk",)), root).files()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for name in ("root/inside", "beside"):
        (folder / name).mkdir(parents=True)
        write_mp4(folder / name / "a.mp4", np.zeros((2, 32, 32, 3), np.uint8), 5)
    return folder


@pytest.mark.parametrize("read", [labelled, unlabelled, captions, people])
def test_a_list_names_files_below_the_root_beside_it_or_anywhere(folder, read):
    root = folder / "root"
    elsewhere = str(folder / "beside/a.mp4")
    for name, wanted in (
        ("inside/a.mp4", root / "inside/a.mp4"),
        ("../beside/a.mp4", folder / "beside/a.mp4"),
        (elsewhere, Path(elsewhere)),
    ):
        found = read(root, name)
        assert found
        assert {path.resolve() for path in found} == {wanted.resolve()}
