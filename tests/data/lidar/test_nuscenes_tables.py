"""nuScenes tables and result files: what is missing or wrong is said in one line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from jaxvision.data.lidar import nuscenes_results as results
from jaxvision.data.lidar.nuscenes import Lidarseg
from jaxvision.data.lidar.nuscenes_frames import Frame, read_frame
from jaxvision.data.lidar.nuscenes_index import NuscenesFrames, frame_record
from jaxvision.data.lidar.nuscenes_tables import Tables
from jaxvision.errors import InputError
from jaxvision.metrics.detection import CLASSES

TINY = Path(__file__).parents[2] / "goldens/datasets/nuscenes_tiny"
VERSION = "v1.0-mini"


@pytest.fixture
def tables(tmp_path) -> Tables:
    """A copy whose tables may be broken."""
    shutil.copytree(TINY / VERSION, tmp_path / VERSION)
    return Tables(tmp_path, VERSION)


def edit(tables: Tables, name: str, change) -> None:
    file = tables.root / VERSION / f"{name}.json"
    rows = json.loads(file.read_text())
    file.write_text(json.dumps(change(rows)))


def read_frames(tables: Tables, scenes: tuple[str, ...] | None, sweeps: int) -> list[Frame]:
    return [read_frame(tables, sample, sweeps) for sample in tables.samples(scenes)]


@pytest.mark.parametrize(
    "name", ["ego_pose", "calibrated_sensor", "sensor", "instance", "category"]
)
def test_a_missing_record_is_named_with_who_asks(tables, name):
    edit(tables, name, lambda rows: [])
    with pytest.raises(InputError, match=rf"{name}\.json: no record '\w+', which \w+ \w+ names"):
        read_frames(tables, ("scene-0061",), 3)


def test_a_missing_table_is_named(tables):
    (tables.root / VERSION / "ego_pose.json").unlink()
    with pytest.raises(InputError, match=r"ego_pose\.json: cannot be read"):
        read_frames(tables, None, 1)


def test_a_sweep_without_pose_is_named(tables):
    def strip(rows):
        return [{key: row[key] for key in row if key != "rotation"} for row in rows]

    edit(tables, "ego_pose", strip)
    with pytest.raises(InputError, match=r"ego_pose \w+: no translation \(3\) and rotation \(4\)"):
        read_frames(tables, None, 2)


def test_a_sample_without_key_frame_is_named(tables):
    edit(tables, "sample_data", lambda rows: [r for r in rows if not r["is_key_frame"]])
    with pytest.raises(InputError, match=r"sample_data\.json: no LIDAR_TOP key frame of sample"):
        read_frames(tables, None, 1)


def test_labelled_key_frames_come_in_time(tables):
    edit(tables, "lidarseg", lambda rows: rows[::-1])
    found = Lidarseg.open(tables.root, VERSION, ("scene-0061",))
    samples = tables.samples(("scene-0061",))
    assert [token for token, _, _ in found.frames] == [
        tables.key_frames[sample]["token"] for sample in samples
    ]


def test_what_labels_name_and_is_missing_is_said(tables):
    with pytest.raises(InputError, match=r"no labelled key frame of 1 scenes"):
        Lidarseg.open(tables.root, VERSION, ("scene-9999",))
    edit(tables, "lidarseg", lambda rows: [*rows, {"token": "lost", "filename": "lost.bin"}])
    with pytest.raises(InputError, match=r"sample_data\.json: no record 'lost', which lidarseg"):
        Lidarseg.open(tables.root, VERSION, ("scene-0061",))
    edit(tables, "lidarseg", lambda rows: rows[:-1])
    edit(tables, "scene", lambda rows: [])
    with pytest.raises(InputError, match=r"scene\.json: no record '\w+', which sample \w+ names"):
        Lidarseg.open(tables.root, VERSION, ("scene-0061",))
    (tables.root / VERSION / "lidarseg.json").write_text("{")
    with pytest.raises(InputError, match=r"lidarseg\.json: not JSON"):
        Lidarseg.open(tables.root, VERSION, ("scene-0061",))


def test_a_missing_points_file_is_named(tables):
    frame = read_frames(tables, None, 2)[0]
    with pytest.raises(InputError, match=r"pcd\.bin: cannot be read"):
        frame.sweeps[0].points(tables.root)


def test_scenes_that_are_not_there_are_named(tables):
    with pytest.raises(InputError, match=r"none of the 1 scenes asked for \(scene-9999\)"):
        tables.samples(("scene-9999",))


def test_rows_in_any_order_give_the_same_frames(tables):
    before = read_frames(Tables(TINY, VERSION), None, 3)
    for name in ("sample", "sample_data", "ego_pose"):
        edit(tables, name, lambda rows: rows[::-1])
    for old in before:
        new = read_frame(tables, old.token, 3)
        np.testing.assert_array_equal(new.boxes, old.boxes)
        assert [s.token for s in new.sweeps] == [s.token for s in old.sweeps]


@pytest.mark.parametrize("table", ["sample", "sample_data"])
def test_a_chain_that_comes_back_to_itself_is_refused(tables, table):
    link = "next" if table == "sample" else "prev"
    edit(tables, table, lambda rows: [{**row, link: row["token"]} for row in rows])
    with pytest.raises(InputError, match="comes back to"):
        read_frames(tables, None, 3)


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("sample", {"timestamp": None}, r"sample\.json: \[0\]\.timestamp: None; expected a whole"),
        ("sample_data", {"is_key_frame": "no"}, r"\[0\]\.is_key_frame: 'no'; expected true or"),
        ("sample_annotation", {"size": [1, 2]}, r"\[0\]\.size: 2 values; expected 3"),
        ("sample_annotation", {"num_lidar_pts": -1}, r"num_lidar_pts: -1; expected a count"),
        ("sample_annotation", {"token": "../../../x"}, r"'\.\./\.\./\.\./x'; expected a token"),
        ("sample_data", {"token": "/etc/x"}, r"sample_data\.json: \[0\]\.token: '/etc/x'"),
        ("category", {"name": 7}, r"category\.json: \[0\]\.name: 7; expected a text"),
        ("ego_pose", {"translation": [0, 0, float("inf")]}, r"ego_pose \w+: a pose that is NaN"),
        ("ego_pose", {"rotation": [1, 0, 0, 10**400]}, r"ego_pose \w+: no translation"),
    ],
)
def test_wrong_values_are_refused_at_their_place(tables, table, change, message):
    edit(tables, table, lambda rows: [{**row, **change} for row in rows])
    with pytest.raises(InputError, match=message):
        read_frames(tables, None, 2)


def test_one_token_of_two_records_is_refused(tables):
    edit(tables, "sample", lambda rows: [*rows, rows[0]])
    with pytest.raises(InputError, match=r"sample\.json: a token that comes twice"):
        read_frames(tables, None, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sweeps": 3}, r"frames\.json: \[0\]\.sweeps: 3; expected a list"),
        ({"counts": [1]}, r"frame \w+: .*differ in number"),
        ({"ego": None}, r"\[0\]\.ego: None; expected a table"),
    ],
)
def test_a_wrong_index_is_refused(tables, tmp_path, change, message):
    rows = [frame_record(frame) for frame in read_frames(tables, None, 3)]
    (tmp_path / "frames.json").write_text(json.dumps([row | change for row in rows]))
    with pytest.raises(InputError, match=message):
        NuscenesFrames.open(tables.root, VERSION, ("scene-0061",), 3, str(tmp_path))


def box(**changes) -> dict:
    found = {
        **{"translation": [0, 0, 0], "size": [1, 1, 1], "rotation": [1, 0, 0, 0]},
        **{"velocity": [0, 0], "detection_name": "car", "detection_score": 0.5},
        **{"attribute_name": "", "sample_token": "a"},
    }
    return found | changes


@pytest.mark.parametrize(
    ("results_by_sample", "message"),
    [
        ({"a": [box()] * 501}, "501 boxes of sample a; expected at most 500"),
        ({"a": [], "z": []}, "1 unknown sample tokens, the first 'z'"),
        ({}, "1 samples are missing, the first 'a'"),
        ({"a": [box(detection_name="caar")]}, "class 'caar' of sample a.*car"),
        ({"a": [box(attribute_name="vehicle.flying")]}, "attribute 'vehicle.flying' of sample a"),
        ({"a": [box(size=[1, 1])]}, "a box of sample a is not whole"),
        ({"a": [box(detection_score=float("nan"))]}, "a box of sample a is NaN or infinite"),
    ],
)
def test_wrong_result_files_are_refused(tmp_path, results_by_sample, message):
    file = tmp_path / "results.json"
    file.write_text(json.dumps({"meta": {}, "results": results_by_sample}))
    with pytest.raises(InputError, match=rf"results\.json: {message}"):
        results.read_results(file, ["a"], CLASSES)


def test_a_submission_with_too_many_boxes_is_not_written(tmp_path):
    with pytest.raises(InputError, match="501 boxes of sample a; at most 500"):
        results.write_results(tmp_path / "out.json", {"a": [box()] * 501})
    assert not (tmp_path / "out.json").exists()
