"""Damaged lists, scans and tables, and names that lead elsewhere, each refused in one line."""

import json

import numpy as np
import pytest

from jaxvision.data import frame_shards, procedure_files
from jaxvision.data.atomic_write import path_inside
from jaxvision.data.lidar.own_scans import read_scan
from jaxvision.data.lidar.semantic_kitti import lidar_poses, read_calibration
from jaxvision.data.prepare_videos import Preparation
from jaxvision.data.video_list import read_list, read_unlabelled_list
from jaxvision.data.yuv_video import HD_CLIPS, HdIntervals
from jaxvision.errors import InputError


@pytest.mark.parametrize("line", ["a.mp4 ²", "a.mp4 --5", "a.mp4 1_0", "folder ² 1", "folder -3 1"])
def test_odd_numbers_in_lists_are_refused(tmp_path, line):
    (tmp_path / "list.txt").write_text(f"{line}\n")
    with pytest.raises(InputError, match=r"list\.txt:1: "):
        read_list(tmp_path / "list.txt", 10)


def test_odd_numbers_in_unlabelled_lists_are_refused(tmp_path):
    (tmp_path / "list.txt").write_text("a.mp4 0 -1\nb 0 ²\n")
    with pytest.raises(InputError, match=r"list\.txt:2: .*expected 'PATH START FRAMES'"):
        read_unlabelled_list(tmp_path / "list.txt", tmp_path, str)


def ply(properties: str, rows: str, count: int = 1) -> str:
    head = f"ply\nformat ascii 1.0\nelement vertex {count}\n"
    lines = "".join(f"property {each}\n" for each in properties.split(","))
    return f"{head}{lines}end_header\n{rows}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ply("float x,float y,float x", "1 2 3"), "property 'x' comes twice"),
        (ply("float x,float y,float z,uchar label", "1 2 3 300"), "label: 300 at row 0"),
        (ply("float x,float y,float z,uchar label", "1 2 3 nan"), "label: nan at row 0"),
        (ply("float x,float y,float z,uchar label", "1 2 3 1.5"), "label: 1.5 at row 0"),
        (ply("float x,float y,float z,float label", "1 2 3 nan"), "label nan at row 0"),
        (ply("float x,float y,float z", "1 2 three"), "points that are no numbers"),
        (ply("float x,float y,float z", "1 2 3", -1), "no vertices in its header"),
        (ply("float x,float y,float z", "1 2 3").replace(" 1\n", " ²\n"), "no vertices"),
    ],
)
def test_points_that_a_file_cannot_hold_are_refused(tmp_path, text, message):
    (tmp_path / "a.ply").write_text(text)
    with pytest.raises(InputError, match=rf"a\.ply: .*{message}"):
        read_scan(tmp_path / "a.ply", labelled=True)


def test_damaged_calibrations_are_refused(tmp_path):
    line = " ".join(["1", "0", "0", "0", "0", "1", "0", "0", "0", "0", "1", "0"])
    calib, poses = tmp_path / "calib.txt", tmp_path / "poses.txt"
    calib.write_text(f"Tr: {line}\n")
    poses.write_text(f"{line}\n")
    np.testing.assert_array_equal(lidar_poses(tmp_path), np.eye(4)[None])
    poses.write_text("\n")
    with pytest.raises(InputError, match=r"poses\.txt: no poses"):
        lidar_poses(tmp_path)
    for text, message in (
        (f"Tr: {line}\nTr: {line}\n", "matrix 'Tr' comes twice"),
        (f"Tr: {line.replace('1', 'nan')}\n", "expected 12 numbers"),
        (f"Tr: {line} x\n", "expected 12 numbers"),
    ):
        calib.write_text(text)
        with pytest.raises(InputError, match=rf"calib\.txt: .*{message}"):
            read_calibration(calib)
    calib.write_text(f"Tr: {line.replace('1', '0')}\n")
    with pytest.raises(InputError, match="Tr has no inverse"):
        lidar_poses(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": -4}, "count: -4; expected at least 1"),
        ({"start": "0"}, "start: '0'; expected a count"),
        ({"shard": "../../x"}, "shard: '../../x'; expected a file name"),
        ({"size": [3]}, "size: 1 values; expected 2"),
    ],
)
def test_a_wrong_index_of_shards_is_refused(tmp_path, change, message):
    row = {"shard": "00000.array_record", "start": 0, "count": 4, "size": [8, 8]}
    index = tmp_path / frame_shards.INDEX
    index.write_text(json.dumps({"videos": {"a.mp4": row}}))
    assert len(frame_shards.read_index(tmp_path)["a.mp4"]) == 4
    frame_shards.read_index.cache_clear()
    index.write_text(json.dumps({"videos": {"a.mp4": row | change}}))
    with pytest.raises(InputError, match=rf"index\.json: videos\.a\.mp4\.{message}"):
        frame_shards.read_index(tmp_path)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, r"train\.json: {}; expected a list"),
        ([{"feature": "a.npy"}], r"train\.json: \[0\]: no 'task' in it"),
        ([{"feature": "a.npy", "task": "tea", "steps": [["boil", "3", 9]]}], r"\[0\]\.steps"),
        ([{"feature": "a.npy", "task": "tea", "steps": [["boil", 3, 1e300]]}], "lasts from 3"),
    ],
)
def test_wrong_procedure_files_are_refused(tmp_path, entries, message):
    np.save(tmp_path / "a.npy", np.zeros((9, 4), np.float32))
    (tmp_path / "labels.json").write_text(json.dumps({"tasks": ["tea"], "actions": ["boil"]}))
    (tmp_path / "train.json").write_text(json.dumps(entries))
    with pytest.raises(InputError, match=message):
        procedure_files.plain(tmp_path, "train", 4)


def test_raw_videos_of_another_size_are_refused(tmp_path):
    stem, _ = HD_CLIPS["544p"][0]
    for name, _ in HD_CLIPS["544p"]:
        (tmp_path / f"{name}.yuv").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.yuv").write_bytes(b"")
    (tmp_path / f"{stem}.yuv").write_bytes(bytes(1000))
    with pytest.raises(InputError, match="1000 bytes; expected frames of 1044480"):
        HdIntervals.of_class(tmp_path, "544p")


def test_a_list_cannot_make_files_elsewhere(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for file in (source / "a.mkv", tmp_path / "other.mkv"):
        file.write_bytes(b"x")
    listing = tmp_path / "list.csv"
    for name in ("../other.mkv", str(tmp_path / "other.mkv"), "a/../../other.mkv"):
        listing.write_text(f"a.mkv 0\n{name} 1\n")
        with pytest.raises(InputError, match=r"list\.csv:2: .*other\.mkv: not below"):
            Preparation(source, target, 32, lists=(listing,))
    listing.write_text(f"b/../a.mkv 0\n{source}/a.mkv 1\n")
    assert Preparation(source, target, 32, lists=(listing,)).names == ("a.mkv",)


def test_names_that_lead_out_of_a_folder_are_refused(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    assert path_inside(folder, "a/../b.bin") == folder / "a/../b.bin"
    for name in ("../x", "/etc/x", "a/../../x", "link/x"):
        with pytest.raises(InputError, match="leads out of"):
            path_inside(folder, name)
