"""LinK segmentation through the engine: training, evaluation, files in and out."""

import json

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxvision.data.lidar.ply import read_ply, write_ply
from jaxvision.data.lidar.ray_casting import Sensor
from jaxvision.data.lidar.streets import Streets, write_sequences
from jaxvision.errors import InputError, Unanswered
from jaxvision.loading import load_run, read_weights
from jaxvision.methods.link.segmentation import inputs
from jaxvision.registry import make_task
from jaxvision.training.config import load_config
from jaxvision.training.evaluation import Evaluator
from jaxvision.training.loop import train
from jaxvision.training.mesh import make_mesh

pytestmark = pytest.mark.xdist_group("link")
SENSOR = {"beams": 8, "azimuths": 48}


def small_config(**overrides) -> ConfigDict:
    """The demo's config, smaller."""
    settings = {
        "model.width": 8,
        "data.train": 16,
        "data.test": 3,
        "data.voxel_size": 0.8,
        "data.voxels": 384,
        "model.level_share": "(1.0, 1.0, 0.75, 0.5, 0.25)",
        "model.block_share": 1.0,
        "data.sensor.beams": SENSOR["beams"],
        "data.sensor.azimuths": SENSOR["azimuths"],
        "task.evaluation_voxels": 384,
        "task.evaluation_points": 512,
        "train.steps": 4,
        "evaluate.every_steps": 0,
        "checkpoint.every_steps": 4,
        "log.pictures_every_steps": 0,
        "train.batch_size": 8,
        "task.evaluation_batch": 8,
    }
    recipe = [f"{key}={value}" for key, value in {**settings, **overrides}.items()]
    return load_config("link/demo", recipe)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    config = small_config()
    workdir = tmp_path_factory.mktemp("link") / "run"
    return workdir, train(make_task(config), config, workdir, read_weights)


def test_training_and_evaluation_report(trained):
    _, results = trained
    assert results["scans/overflow"] == 0
    assert 0 < results["scans/miou"] < 100
    assert {"scans/miou_link", "scans/accuracy", "scans/iou_road"} <= set(results)


def test_evaluation_does_not_depend_on_batch_size(trained):
    workdir, results = trained
    config = small_config(**{"task.evaluation_batch": 16})
    task, mesh = make_task(config), make_mesh(config.mesh.to_dict())
    variables = load_run(None, [], workdir, None)[2]
    evaluator = Evaluator(task, mesh)
    evaluator.compile(variables)
    again, _ = evaluator.run(variables)
    assert again == {name: results[name] for name in again}


def test_predictions_come_in_the_format_of_the_scans(trained, tmp_path, capsys):
    workdir, _ = trained
    task, _, variables = load_run(None, [], workdir, None)
    scan_file, same_name = write_sequences(tmp_path, {8: 1, 9: 1}, sensor=Sensor(**SENSOR))
    points = np.fromfile(scan_file, np.float32).reshape(-1, 4)
    kinds = [("x", "<f8"), ("y", "<f8"), ("z", "<f8"), ("intensity", "<f4"), ("time", "<u2")]
    table = np.zeros(len(points), kinds)
    for column, name in enumerate(("x", "y", "z", "intensity")):
        table[name] = points[:, column]
    write_ply(tmp_path / "own.ply", table)
    out = tmp_path / "out"
    out.mkdir()
    written = task.predict_files(variables, [scan_file, tmp_path / "own.ply", same_name], out)
    names = {str(path.relative_to(out)) for path in written}
    assert names == {
        "sequences/08/predictions/000000.label",
        *("000000_above.png", "000000_ahead.png", "000000.json", "000000.html"),
        *("own.ply", "own_above.png", "own_ahead.png", "own.json", "own.html"),
        # The benchmark's labels keep their name; what lies side by side is numbered.
        "sequences/09/predictions/000000.label",
        *("000000_2_above.png", "000000_2_ahead.png", "000000_2.json", "000000_2.html"),
    }
    assert json.loads((out / "000000_2.json").read_text())["scan"] == str(same_name)
    labels = np.fromfile(out / "sequences/08/predictions/000000.label", np.uint32)
    labelled = read_ply(out / "own.ply")
    np.testing.assert_array_equal(labelled["label"], labels)
    np.testing.assert_array_equal(labelled["time"], table["time"])
    counts = json.loads((out / "own.json").read_text())["points"]
    assert sum(counts.values()) == len(points)
    assert set(labels) <= set(task.classes.written_ids(np.arange(len(task.classes))))
    # Another copy of the data set: its answer would have the first one's place.
    (other,) = write_sequences(tmp_path / "copy", {8: 1}, sensor=Sensor(**SENSOR))
    np.save(tmp_path / "saved.npy", points)
    with pytest.raises(Unanswered, match="2 of 3 inputs") as told:
        task.predict_files(variables, [scan_file, other, tmp_path / "saved.npy"], tmp_path / "two")
    said = capsys.readouterr().err
    assert f"{other}: its answer has the same place as that of {scan_file}" in said
    assert "saved.npy: expected a .bin or .ply scan; save it as .bin" in said
    assert np.array_equal(np.fromfile(told.value.written[0], np.uint32), labels)


def test_official_layout_and_own_scans_train_like_generated_ones(tmp_path):
    write_sequences(tmp_path, {0: 2, 8: 1}, sensor=Sensor(**SENSOR))
    config = load_config("link/kitti_minkunet", [f"data.root={tmp_path}"])
    records = inputs.records_of(config, "train")
    task = make_task(config)
    assert len(task.classes) == 20
    sample = task.packing("train")(records[1], np.random.default_rng(0), "scans")
    assert set(sample["labels"][: sample["count"]]) <= {1, 6, 9, 11, 13, 14, 15, 16, 17, 18}
    own = load_config("link/own", [f"data.root={tmp_path}", "data.train=sequences/00/velodyne"])
    with pytest.raises(InputError, match=r"000000\.label: cannot be read"):
        inputs.records_of(own, "train")[0]


def own_scans(folder, labels: int) -> list[str]:
    """Overrides for two own scans in `folder`, all of whose points have one label."""
    for name in ("train", "test"):
        (folder / name).mkdir()
        scan = Streets(1, 3, Sensor(**SENSOR))[0]
        scan.points.tofile(folder / name / "a.bin")
        np.full(len(scan.points), labels, np.uint32).tofile(folder / name / "a.label")
    return [f"data.root={folder}", "data.classes={'road': (40,), 'tree': [70, 71]}"]


def test_a_table_of_classes_that_fits_no_label_is_refused(tmp_path):
    overrides = own_scans(tmp_path, labels=9)
    with pytest.raises(InputError, match=r"raw ids \[9\] found, expected some of road \[40\]"):
        make_task(load_config("link/own", overrides)).source("train")
    with pytest.raises(InputError, match=r"raw ids \[9\] found"):
        make_task(load_config("link/own", [*overrides, "data.ignored=(0,9)"])).source("train")
    overrides[1] = "data.classes={'road': (40,), 'mast': (9,)}"
    task = make_task(load_config("link/own", overrides))
    assert len(task.source("train").records) == 1
    assert task.classes.names == ("ignored", "mast", "road")


def test_an_evaluation_of_nothing_is_refused(tmp_path):
    config = load_config("link/own", own_scans(tmp_path, labels=9))
    evaluation = make_task(config).evaluations()["scans"]
    unknown = np.zeros((1, 3, 4), int)
    unknown[0, 1, 3] = 50
    total = evaluation.accumulate(
        None, {"confusion": unknown, "overflow": np.zeros(1)}, np.arange(1), "scans"
    )
    with pytest.raises(InputError, match="none of their labels counts"):
        evaluation.finish(total, {})


def test_points_that_came_back_from_nowhere_get_the_ignored_class(trained, tmp_path):
    task, _, variables = load_run(None, ["data.drop_invalid=True"], trained[0], None)
    points = Streets(1, 3, Sensor(**SENSOR))[0].points.copy()
    points[5, 0] = np.nan
    points.tofile(tmp_path / "own.bin")
    with pytest.warns(UserWarning, match=r"points that are NaN .* left out \(1 of "):
        task.predict_files(variables, [tmp_path / "own.bin"], tmp_path)
    labels = np.fromfile(tmp_path / "own.label", np.uint32)
    assert len(labels) == len(points)
    assert labels[5] == 0
    np.delete(points, 5, axis=0).tofile(tmp_path / "clean.bin")
    task.predict_files(variables, [tmp_path / "clean.bin"], tmp_path)
    clean = np.fromfile(tmp_path / "clean.label", np.uint32)
    np.testing.assert_array_equal(np.delete(labels, 5), clean)


def test_several_views_are_summed(trained):
    variables = load_run(None, [], trained[0], None)[2]
    config = small_config(**{"task.views": 2, "task.augmented_views": True})
    task = make_task(config)
    packing = task.packing("test")
    scan = inputs.records_of(config, "test")[0]
    packed = packing(scan, np.random.default_rng(0), "scans")
    batch = {name: np.asarray(value)[None] for name, value in packed.items()}
    scores, _ = jax.jit(task.point_scores)(variables, batch)
    single = make_task(small_config())
    total = 0
    for view in range(2):
        one = {
            name: value if name.startswith("point") else value[:, view : view + 1]
            for name, value in batch.items()
        }
        total = total + jax.jit(single.point_scores)(variables, one)[0]
    np.testing.assert_allclose(scores, total, atol=1e-4)


def test_more_voxels_than_the_cap_are_a_random_subset():
    config = small_config(**{"data.voxels": 64})
    packing = make_task(config).packing("train")
    scan = inputs.records_of(config, "train")[0]
    draws = [packing(scan, np.random.default_rng(seed), "scans") for seed in (0, 0, 1)]
    assert all(d["count"] == 64 and d["dropped"] > 0 for d in draws)
    np.testing.assert_array_equal(draws[0]["coords"], draws[1]["coords"])
    assert (draws[0]["coords"] != draws[2]["coords"]).any()
    key = draws[0]["coords"] @ np.array([1 << 32, 1 << 16, 1])
    assert (np.diff(key) > 0).all()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"model.network": "linkunett"}, "linkunett.*linkunet"),
        ({"model.form": "cos_x"}, "model.groups 2"),
        ({"task.views": 3}, "augmented_views"),
        ({"data.name": "semantic_kitty"}, "semantic_kitti"),
    ],
)
def test_refused_settings(overrides, message):
    with pytest.raises(InputError, match=message):
        make_task(small_config(**overrides)).classes  # noqa: B018


def test_own_scans_need_own_classes():
    config = load_config("link/kitti_minkunet", ["data.name=own"])
    with pytest.raises(InputError, match=r"data\.classes is empty"):
        make_task(config).classes  # noqa: B018


def test_a_scan_outside_the_range_is_replaced_in_training_and_ignored_in_prediction(
    trained, tmp_path
):
    workdir, _ = trained
    overrides = ["data.range=(500.0, 500.0, 500.0, 501.0, 501.0, 501.0)"]
    task, _, variables = load_run(None, overrides, workdir, None)
    scan = Streets(1, sensor=Sensor(**SENSOR))[0]
    with pytest.raises(InputError, match="no point inside the range"):
        task.packing("train")(scan, np.random.default_rng(0), "scans")
    scan.points.tofile(tmp_path / "far.bin")
    task.predict_files(variables, [tmp_path / "far.bin"], tmp_path)
    labels = np.fromfile(tmp_path / "far.label", np.uint32)
    assert labels.tolist() == [0] * len(scan.points)
