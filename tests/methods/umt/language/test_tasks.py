"""Retrieval and stage 2 as the engine runs them, on coloured pictures."""

import json

import jax
import numpy as np
import pytest

from jaxvision.errors import InputError
from jaxvision.methods.umt.task import make_task
from jaxvision.training import loop
from methods.umt.language.small import made, recipe

MESH = {"mesh.data": 2, "mesh.fsdp": 2, "mesh.tensor": 2}
STILL = {"language.dropout": 0.0, "language.attention_dropout": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    made(folder)
    made(folder, medium="image")
    return folder


def run(config, workdir, devices=1):
    """(the rows of a run's losses, its last evaluation's results)."""
    results = loop.train(make_task(config), config, workdir, None, jax.devices()[:devices])
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").open()]
    return [row for row in rows if "loss" in row], results


@pytest.mark.xdist_group("umt-mesh")
def test_retrieval_trains_is_evaluated_and_does_not_see_the_mesh(folder, tmp_path):
    overrides = {**STILL, "train.draw_groups": 2}
    rows, results = run(recipe(folder, **overrides), tmp_path / "one")
    losses = [row["loss"] for row in rows]
    assert len(losses) == 3
    assert {"vtc", "vtm"} <= rows[0].keys()
    assert 0 < results["retrieval/r_mean"] <= 100
    assert 0 < results["retrieval/emb_r_mean"] <= 100
    other, again = run(recipe(folder, **overrides, **MESH), tmp_path / "eight", 8)
    np.testing.assert_allclose([row["loss"] for row in other], losses, rtol=1e-5)
    assert again.keys() == results.keys()


@pytest.mark.xdist_group("umt-mesh")
def test_stage_two_alternates_and_leaves_the_teacher_as_it_is(folder, tmp_path):
    config = recipe(folder, "stage2", **STILL)
    config.data.pictures, config.data.validation = str(folder / "image.json"), ""
    config.train.steps = 4
    task = make_task(config)
    assert sorted(task.bucket(step) for step in range(4)) == ["image"] * 2 + ["video"] * 2
    rows, _ = run(config, tmp_path / "one")
    assert all({"vtc", "vtm", "mlm", "uta"} <= row.keys() for row in rows)
    assert len({row["loss"] for row in rows}) == 4
    config = recipe(folder, "stage2", **STILL, **MESH)
    config.data.pictures, config.data.validation = str(folder / "image.json"), ""
    config.train.steps = 4
    other, _ = run(config, tmp_path / "eight", 8)
    wanted = [row["loss"] for row in rows]
    np.testing.assert_allclose([row["loss"] for row in other], wanted, rtol=1e-5)


def test_samples_of_one_video_share_a_key(folder, tmp_path):
    listed = json.loads((folder / "video.json").read_text())
    twice = folder / "twice.json"
    twice.write_text(json.dumps([listed[0], listed[1], listed[0]]))
    task = make_task(recipe(folder, **{"data.train": str(twice)}))
    source = task.source("train")
    rng = np.random.default_rng(0)
    samples = [source.transform(source.records[n], rng, "video") for n in range(3)]
    assert [int(sample["key"]) for sample in samples] == [0, 1, 0]
    assert samples[0]["video"].shape == (2, 32, 32, 3)


def test_what_is_refused(folder):
    with pytest.raises(InputError, match="12 pieces for a word table of 30522 rows"):
        _ = make_task(recipe(folder, **{"language.vocabulary": 30522})).pieces
    with pytest.raises(InputError, match=r"data\.train: expected an annotation file"):
        make_task(recipe(folder, **{"data.train": ""})).source("train")
    task = make_task(recipe(folder, **{"train.draw_groups": 4}))
    inputs = _inputs(task)
    with pytest.raises(InputError, match=r"train\.draw_groups=4 of a batch of 4"):
        jax.eval_shape(lambda: task.loss(*inputs, jax.random.key(0), True))
    with pytest.raises(InputError, match=r"train\.draw_groups=4 of a batch of 4"):
        task.source("train")  # before anything is compiled
    task = make_task(recipe(folder, **{"task.text_length": 9}))
    with pytest.raises(InputError, match=r"task\.text_length.* 9 .*language\.positions=8"):
        jax.eval_shape(task.init, jax.random.key(0))


@pytest.mark.parametrize(("medium", "frames"), [("video", 2), ("image", 1)])
def test_a_mask_that_hides_all_or_nothing_is_refused_by_its_medium(folder, medium, frames):
    for ratio in (0.0, 1.0, -0.5, float("nan")):
        task = make_task(recipe(folder, "stage2", **{f"task.{medium}_mask_ratio": ratio}))
        batch = {"video": np.zeros((1, frames, 32, 32, 3), np.uint8)}
        with pytest.raises(InputError, match=rf"task\.{medium}_mask_ratio=.* leaves \d+ of"):
            task.guidance({"params": {"teacher": {}}}, batch | {"input": 0, "noise": np.zeros(16)})


def _inputs(task):
    variables = task.init(jax.random.key(0))
    batch = {
        name: np.zeros(spec.shape, spec.dtype)
        for name, spec in task.batch_specs("train")["video"].items()
    }
    return variables, task.prepare(batch, jax.random.key(1), True)
