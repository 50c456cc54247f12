"""UMT's action detector as the engine sees it, on drawn figures and on films cut into seconds."""

import json

import jax
import numpy as np
import pytest
from flax import linen as nn

from jaxvision.errors import InputError
from jaxvision.registry import load_config, make_task
from jaxvision.viz.files import write_mp4
from jaxvision.weights.mapping import flatten

SMALL = (
    *("dtype=float32", "model.frames=4", "model.image_size=(32, 32)", "model.width=16"),
    *("model.heads=2", "model.depth=1", "model.patch=8", "model.drop_path=0.0"),
    *("task.short_side=40", "task.crop=32", "task.stride=2", "task.evaluation_batch=2"),
    *("train.batch_size=2", "train.loss_groups=1", "data.people=4"),
)
FIGURES = ("data.name=figures", "data.train=4", "data.validation=3", "data.height=64")


@pytest.fixture(scope="module")
def task():
    return make_task(load_config("umt/detection", [*SMALL, *FIGURES, "data.width=96"]))


@pytest.fixture(scope="module")
def batch(task):
    source = task.source("train")
    rng = np.random.default_rng(0)
    samples = [source.transform(source.records[n], rng, "crop") for n in range(2)]
    batch = source.collate(samples, "crop")
    for field, spec in task.batch_specs("train")["crop"].items():
        assert (batch[field].shape, batch[field].dtype) == (spec.shape, spec.dtype), field
    assert task.supervised(batch) == batch["exists"].sum() > 0
    return batch


def test_every_parameter_learns_and_padded_rows_and_pixels_do_not_count(task, batch):
    variables = nn.unbox(jax.jit(task.init)(jax.random.key(0)))

    @jax.jit
    def run(params, batch):
        def loss(params):
            rng = jax.random.key(1)
            prepared = task.prepare(batch, rng, True)
            value, aux = task.loss({"params": params}, prepared, rng, True)
            return value, (aux.metrics, task.predict({"params": params}, prepared, rng)["scores"])

        return jax.value_and_grad(loss, has_aux=True)(params)

    (value, (metrics, scores)), gradients = run(variables["params"], batch)
    assert np.isfinite(value)
    assert metrics["action"][1] == batch["exists"].sum()
    assert not [path for path, g in flatten(gradients).items() if not np.abs(g).max() > 0]
    padded = ~batch["exists"]
    other = {name: array.copy() for name, array in batch.items()}
    other["boxes"][padded], other["actions"][padded] = 7, 1
    # A clip that ends before its square does.
    other["size"][:] = 24
    seen, _ = run(variables["params"], other)
    other["video"][:, :, 24:], other["video"][:, :, :, 24:] = 255, 255
    again, _ = run(variables["params"], other)
    assert again[0] == seen[0] != value
    assert (np.asarray(scores)[batch["exists"]] > 0).all()
    outputs = {"scores": np.asarray(scores)}
    assert task.render(batch, outputs)["people"].shape == (32, 32, 3)


@pytest.mark.parametrize(("right", "expected"), [(True, 100.0), (False, None)])
def test_right_actions_score_all(task, right, expected):
    protocol = task.evaluations()["key_frames"]
    total = None
    for name, source in protocol.source.items():
        for record in range(len(source.records)):
            actions = source.records[record].people.actions.astype(float)
            scores = 0.9 * actions if right else 0.9 * (1 - actions)
            total = protocol.accumulate(total, {"scores": scores[None]}, np.array([record]), name)
            sample = source.transform(source.records[record], np.random.default_rng(0), name)
            shape = protocol.batch_specs[name]["video"].shape[1:]
            assert sample["video"].shape == shape == (4, 40, 64, 3)
    results = protocol.finish(total, {})
    if right:
        assert results["map"] == pytest.approx(expected)
    else:
        assert results["map"] < 60
    assert results["frames_without_detections"] == 0


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """One film of three seconds, people of second 902, and a detector's; a truth in AVA's form."""
    folder = tmp_path_factory.mktemp("ava")
    (folder / "film").mkdir()
    for second in (901, 902, 903):
        frames = np.full((8, 48, 64, 3), second - 850, np.uint8)
        write_mp4(folder / "film" / f"{second}.mp4", frames, 8.0)
    image = {"id": 5, "movie": "film", "timestamp": 902, "width": 64, "height": 48}
    entry = {"image_id": 5, "bbox": [8, 8, 16, 32], "action_ids": [2]}
    (folder / "train.json").write_text(json.dumps({"images": [image], "annotations": [entry]}))
    wide = {"images": [image | {"width": 80}], "annotations": [entry]}
    (folder / "wide.json").write_text(json.dumps(wide))
    seen = [{"image_id": 5, "bbox": [8, 8, 16, 32], "score": s} for s in (0.9, 0.5)]
    (folder / "seen.json").write_text(json.dumps(seen))
    (folder / "truth.csv").write_text("film,0902,0.125,0.166,0.375,0.83,2,0\n")
    labels = "".join(f'item {{ name: "{n}" id: {i} }}\n' for i, n in ((1, "sit"), (2, "run")))
    (folder / "labels.pbtxt").write_text(labels)
    return folder


def of_films(films, *more):
    files = {
        "root": ".",
        "train": "train.json",
        "validation": "train.json",
        "detections": "seen.json",
        "truth": "truth.csv",
        "labels": "labels.pbtxt",
    }
    paths = [f"data.{key}={films / name}" for key, name in files.items()]
    return make_task(
        load_config("umt/detection", [*SMALL, *paths, "data.excluded=", "data.classes=3", *more])
    )


def test_films_of_seconds_and_detected_people_are_evaluated(films):
    task = of_films(films)
    source = task.source("train")
    sample = source.transform(source.records[0], np.random.default_rng(0), "crop")
    assert sample["actions"][0].tolist() == [0, 1, 0]
    protocol = task.evaluations()["key_frames"]
    ((name, source),) = protocol.source.items()
    sample = source.transform(source.records[0], np.random.default_rng(0), name)
    assert sample["exists"].sum() == 1, "a person below the threshold is none"
    np.testing.assert_allclose(sample["scores"][0], 0.9)
    scores = np.array([[[0.1, 0.8, 0.0]]])
    results = protocol.finish(
        protocol.accumulate(None, {"scores": scores}, np.array([0]), name), {}
    )
    assert results["map"] == pytest.approx(100)
    assert results["ap_run"] == pytest.approx(100)


def test_films_with_people_beside_them_are_answered(films, tmp_path):
    task = of_films(films, "task.every_seconds=0.5")
    variables = nn.unbox(jax.jit(task.init)(jax.random.key(0)))
    film = tmp_path / "shop.mp4"
    write_mp4(film, np.full((8, 48, 64, 3), 90, np.uint8), 8.0)
    with pytest.raises(InputError, match=r"shop_people.json: no such file"):
        task.predict_files(variables, [film], tmp_path)
    people = [{"image_id": 1, "bbox": [8, 8, 16, 32], "score": 0.9}]
    (tmp_path / "shop_people.json").write_text(json.dumps(people))
    (outdir := tmp_path / "out").mkdir()
    written = {path.name for path in task.predict_files(variables, [film], outdir)}
    assert written >= {"shop.mp4", "shop.png", "shop.json", "shop.csv"}
    first, second = json.loads((outdir / "shop.json").read_text())
    assert not first["people"]
    (person,) = second["people"]
    assert person["box"] == [0.125, 0.16667, 0.375, 0.83333]
    assert set(person["actions"]) == {"sit", "run", "action 3"}


def test_boxes_of_another_frame_size_are_refused(films):
    task = of_films(films, f"data.train={films / 'wide.json'}")
    source = task.source("train")
    with pytest.raises(InputError, match=r"frames of 64 x 48; its boxes are of 80 x 48"):
        source.transform(source.records[0], np.random.default_rng(0), "crop")
    source = of_films(films, "task.short_side=16").source("train")
    with pytest.raises(InputError, match=r"task.crop=32: frames of 21 x 16 are smaller"):
        source.transform(source.records[0], np.random.default_rng(0), "crop")
