"""LinK detection through the engine: training, evaluation, files in and out, nuScenes."""

import json
import re
from unittest import mock

import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxvision.cli.main import main
from jaxvision.data.lidar.boxed_scan import boxes_from_json, boxes_to_json
from jaxvision.data.lidar.moving_streets import MovingStreets
from jaxvision.data.lidar.nuscenes_tables import Tables
from jaxvision.data.lidar.ray_casting import Sensor
from jaxvision.data.loader import Schedule
from jaxvision.errors import InputError
from jaxvision.loading import load_run, read_weights
from jaxvision.methods.link.detection import evaluation, inputs
from jaxvision.methods.link.detection.task import DetectionTask
from jaxvision.methods.link.task import RENAMED_KEYS
from jaxvision.methods.link.tour import within
from jaxvision.metrics.detection import Settings
from jaxvision.registry import make_task
from jaxvision.training.config import load_config
from jaxvision.training.loop import train
from made_up_nuscenes import write_nuscenes

pytestmark = pytest.mark.xdist_group("link detection")
SENSOR = {"beams": 10, "azimuths": 60}
# Few layers and voxels of 0.6 m: most of the time goes into compiling.
SMALL = {
    "model.version": "baseline",
    "model.planes": (4, 4, 4, 4),
    "model.neck_layers": 0,
    "model.neck_widths": (4, 4),
    "model.joined_width": 4,
    "model.head_width": 4,
    "model.level_share": (1.0, 3.5, 3.0, 2.0, 1.5),
    "model.block_share": 1.0,
    "data.voxel_size": (0.6, 0.6, 0.15),
    "data.voxels": 768,
    "data.sensor.beams": SENSOR["beams"],
    "data.sensor.azimuths": SENSOR["azimuths"],
    "task.candidates": 30,
    "task.kept": 10,
    "task.evaluation_voxels": 768,
}


def small_config(recipe: str = "link/detection_demo", **overrides) -> ConfigDict:
    settings = {**SMALL, **overrides}
    if recipe != "link/detection_demo":
        settings = {k: v for k, v in settings.items() if not k.startswith("data.sensor")}
    return load_config(recipe, [f"{key}={value}" for key, value in settings.items()])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    config = small_config(
        **{
            "data.train": 16,
            "data.test": 3,
            "train.steps": 3,
            "train.batch_size": 8,
            "task.evaluation_batch": 8,
            "evaluate.every_steps": 0,
            "checkpoint.every_steps": 3,
            "log.pictures_every_steps": 0,
            "task.angles": (0.0, 12.5),
        }
    )
    workdir = tmp_path_factory.mktemp("link") / "run"
    return workdir, train(make_task(config), config, workdir, read_weights)


def test_training_and_evaluation_report(trained):
    _, results = trained
    assert results["scans/overflow"] == 0
    assert 0 <= results["scans/map"] <= 100
    wanted = {"scans/ap_car", "scans/ap_car_2m", "scans/ap_pedestrian_0.5m", "scans/ate"}
    assert wanted <= set(results)
    assert "scans/nds" not in results


def test_predictions_are_written_in_the_scans_own_frame(trained, tmp_path):
    overrides = ["task.threshold=0.0", "task.double_flip=True", "task.angles=(0.0,)"]
    task, _, variables = load_run(None, overrides, trained[0], None)
    assert len(task.views) == 4
    scan = MovingStreets(1, 77, Sensor(**SENSOR))[0]
    scan.points[:, :4].tofile(tmp_path / "own.bin")
    (tmp_path / "own.json").write_text(json.dumps({"boxes": boxes_to_json(scan.boxes, scan.names)}))
    out = tmp_path / "out"
    out.mkdir()
    written = task.predict_files(variables, [tmp_path / "own.bin"], out)
    assert {path.name for path in written} == {
        *("own.json", "own_above.png", "own_ahead.png", "own.html")
    }
    boxes, names = boxes_from_json(out / "own.json", task.class_names)
    assert len(names) > 0
    assert np.abs(boxes[:, :2]).max() < 25
    scores = [box["score"] for box in json.loads((out / "own.json").read_text())["boxes"]]
    assert scores == sorted(scores, reverse=True)
    page = (out / "own.html").read_text()
    assert not re.search(r"https?://|src=|href=", page)
    data = json.loads(re.search(r'json">(.*?)</script>', page, re.S)[1])
    assert sum(box["truth"] for box in data["boxes"]) == len(scan.boxes)
    # An unknown class beside the scan is said, not skipped.
    (tmp_path / "own.json").write_text(
        json.dumps({"boxes": boxes_to_json(scan.boxes[:1], ["tram"])})
    )
    with pytest.raises(InputError, match=r"own\.json: class 'tram'"):
        task.predict_files(variables, [tmp_path / "own.bin"], out)


def test_boxes_of_several_views_are_fused():
    box = np.array([[[1, 2, 0, 2, 4, 1, 0, 0, 0.1]] * 2 + [[9, 2, 0, 2, 4, 1, 0, 0, 0.1]]])
    found = {
        "box": box + 0.05 * np.arange(3)[:, None],
        "score": np.array([[0.3, 0.6, 0.5]]),
        "label": np.zeros((1, 3), np.int64),
        "valid": np.ones((1, 3), bool),
    }
    fused = evaluation.boxes_of_scan(found, 0, ("car",), fused=True)
    assert fused["score"].tolist() == [0.6, 0.5]
    separate = evaluation.boxes_of_scan(found, 0, ("car",), fused=False)
    assert separate["score"].tolist() == [0.6, 0.5, 0.3]


def test_the_first_scan_is_drawn_with_its_truth():
    task = make_task(small_config(**{"data.train": 1}))
    scan = inputs.records_of(task.config, "train", task.class_names)[0]
    sample = task.packing("train")(scan, np.random.default_rng(0), inputs.PLAIN)
    batch = {name: np.asarray(value)[None] for name, value in sample.items()}
    outputs = {
        "box": batch["truth"] + 1,
        "score": np.ones(batch["truth"].shape[:2]),
        "label": batch["truth_label"],
        "valid": np.arange(batch["truth"].shape[1])[None] < batch["truth_count"],
    }
    empty = {name: value * 0 for name, value in outputs.items()}
    drawn, blank = (task.render(batch, {**o, "valid": o["valid"] > 0}) for o in (outputs, empty))
    assert (drawn["birds_eye"] != blank["birds_eye"]).any()
    # White is the truth's colour alone.
    assert (blank["birds_eye"] == 255).all(axis=-1).any()


def test_a_scan_outside_the_range_has_no_boxes_and_an_empty_one_ends_nothing(trained, tmp_path):
    task, _, variables = load_run(None, [], trained[0], None)
    scans = [tmp_path / name for name in ("far.bin", "empty.bin", "near.bin")]
    np.full((3, 4), 900, np.float32).tofile(scans[0])
    scans[1].write_bytes(b"")
    MovingStreets(1, 77, Sensor(**SENSOR))[0].points[:, :4].tofile(scans[2])
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(InputError, match=r"1 of 3 inputs .*empty\.bin; the first: .*an empty scan"):
        task.predict_files(variables, scans, out)
    assert json.loads((out / "far.json").read_text())["boxes"] == []
    assert (out / "near_above.png").is_file()


@pytest.fixture(scope="module")
def nuscenes(tmp_path_factory) -> list[str]:
    """Overrides that name a small dataset in the official layout, and its index."""
    root = tmp_path_factory.mktemp("nuscenes")
    write_nuscenes(root, {"scene-0061": 3, "scene-0103": 2}, 4, Sensor(**SENSOR), 1)
    command = ["prepare", "nuscenes", str(root), str(root / "index"), "--version", "v1.0-mini"]
    assert not main([*command, "--sweeps", "2"])
    return {
        "data.root": root,
        "data.index": root / "index",
        "data.version": "v1.0-mini",
        "data.train": "('scene-0061',)",
        "data.test": "('scene-0103',)",
        "data.sweeps": 2,
    }


def test_published_recipe_resamples_pastes_and_fades(nuscenes):
    config = small_config("link/nuscenes_centerpoint_elkv3", **nuscenes)
    task = make_task(config)
    source = task.source("train")
    assert len(source.records) > 0
    samples = {
        bucket: source.transform(source.records[0], np.random.default_rng(2), bucket)
        for bucket in task.batch_specs("train")
    }
    specs = task.batch_specs("train")[inputs.PLAIN]
    for sample in samples.values():
        assert {n: (8, *np.shape(v)) for n, v in sample.items()} == {
            n: s.shape for n, s in specs.items()
        }
    steps = config.train.steps
    assert steps == 20 * -(-123580 // 8)
    assert task.bucket(0) == inputs.PASTED
    assert task.bucket(steps * 3 // 4 - 1) == inputs.PASTED
    assert task.bucket(steps * 3 // 4) == task.bucket(steps - 1) == inputs.PLAIN
    # A run asks once for all steps: the settings are read once, not once a step.
    ends = steps * 3 // 4 - 2, steps * 3 // 4 + 2
    assert list(task.bucket_names(steps)[slice(*ends)]) == [task.bucket(s) for s in range(*ends)]
    asked = mock.Mock(side_effect=AssertionError("one step asked alone"))
    with mock.patch.object(DetectionTask, "bucket", asked):
        schedule = Schedule.of(
            task.bucket_names, {inputs.PASTED: source, inputs.PLAIN: source}, steps
        )
    assert np.count_nonzero(schedule.by_step == schedule.buckets.index(inputs.PLAIN)) == steps // 4
    # Targets stand where the boxes' cells are.
    sample = samples[inputs.PLAIN]
    cells = sample["cell0"][sample["mask0"] > 0]
    assert len(cells)
    np.testing.assert_array_equal(sample["heat0"].reshape(-1)[cells], 1)


def perfect(records, classes) -> dict:
    scans = {}
    for number in range(len(records)):
        scan = records[number]
        label = np.array([classes.index(name) for name in scan.names])
        truth = {"truth": scan.boxes, "truth_label": label}
        scans[number] = truth | {"box": scan.boxes, "label": label, "score": np.ones(len(label))}
    return scans


def test_perfect_boxes_score_full_marks_in_the_world(nuscenes):
    config = small_config("link/nuscenes_centerpoint_elkv3", **nuscenes)
    classes = inputs.class_names(config)
    records = inputs.records_of(config, "test", classes)
    tables = Tables(records.root, "v1.0-mini")
    scans = perfect(records, classes)
    result = evaluation.evaluate_in_world(scans, records, tables, classes)
    present = [n for n, count in enumerate(result["kept_counts"][0]) if count]
    assert 0 in present
    np.testing.assert_allclose(result["label_aps"][present], 1, atol=1e-9)
    # Velocities of the tables are those of the boxes' frame, turned into the world and back.
    np.testing.assert_allclose(result["label_tp_errors"][0, :4], 0, atol=1e-5)
    # Half a metre to the side: found at 1 m and beyond, not within 0.5 m.
    for scan in scans.values():
        scan["box"] = scan["box"] + np.eye(9)[0] * 0.6
    moved = evaluation.evaluate_in_world(scans, records, tables, classes)
    np.testing.assert_allclose(moved["label_aps"][0], [0, 1, 1, 1], atol=1e-9)


def test_the_same_rules_hold_in_the_sensors_frame():
    records = MovingStreets(2, 6, Sensor(**SENSOR))
    classes = ("car", "pedestrian")
    scans = perfect(records, classes)
    settings = Settings(classes=classes, ranges=dict.fromkeys(classes, 30.0))
    result = evaluation.evaluate_in_sensor_frame(scans, settings)
    np.testing.assert_allclose(result["label_aps"], 1, atol=1e-9)
    scans[0]["label"] = 1 - scans[0]["label"]
    swapped = evaluation.evaluate_in_sensor_frame(scans, settings)
    assert (swapped["mean_dist_aps"] < 1).all()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"model.version": "elkv4"}, "elkv4.*elkv3"),
        ({"data.tasks": "(('car',), ('car',))"}, "each once"),
        ({"data.range": "(0.0, 0.0, 0.0, 1.0, 1.0)"}, "expected six numbers"),
        ({"data.voxel_size": (0.6, 0.6, 0.4)}, "leaves no cell; widen the range"),
        ({"data.name": "nuscene"}, "nuscenes"),
        (
            {"model.version": "elkv3", "model.planes": "(8, 12, 15, 16)"},
            "model.planes.*: 15 is odd",
        ),
        ({"task.name": "detetion"}, "detection"),
    ],
)
def test_refused_settings(overrides, message):
    with pytest.raises(InputError, match=message):
        make_task(small_config(**overrides)).source("train")


@pytest.mark.parametrize(("old", "new"), RENAMED_KEYS.items())
def test_an_old_key_is_refused_with_its_new_name(old, new):
    config = small_config()
    table, key = old.split(".")
    with config.unlocked():
        config[table][key] = 1
    with pytest.raises(InputError, match=f"'{old}' is now called '{new}'"):
        make_task(config)


def test_refused_classes(nuscenes):
    for key, value in (("data.tasks", "(('tram',),)"), ("data.tasks", "(('car',),)")):
        with pytest.raises(InputError, match=r"class '(tram|\w+)'"):
            make_task(small_config("link/nuscenes_centerpoint_elkv3", **nuscenes, **{key: value}))


def test_a_tour_counts_the_boxes_that_the_detector_may_find():
    scan = MovingStreets(1, 77, Sensor(**SENSOR))[0]
    far = np.hypot(*scan.boxes[:, :2].T)
    most = float(np.median(far))
    near = within(scan, most)
    assert 0 < len(near.boxes) == len(near.names) == (far <= most).sum() < len(far)
    assert near.names == tuple(np.array(scan.names)[far <= most])
