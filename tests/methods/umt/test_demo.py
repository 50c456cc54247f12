"""The demo's own parts: a teacher from pictures and words, a probe, retrieval on made-up clips."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxvision.data.moving_shapes import PICTURE_CAPTIONS, WORDS
from jaxvision.data.word_pieces import SPECIAL
from jaxvision.errors import InputError
from jaxvision.loading import load_run, read_weights
from jaxvision.methods.umt import made_clips
from jaxvision.methods.umt.language.inputs import CaptionRecords, two_sides
from jaxvision.methods.umt.task import make_task
from jaxvision.training import initialisation, loop
from jaxvision.training.config import load_config
from jaxvision.viz.files import write_png
from jaxvision.weights.mapping import flatten

SMALL = (
    *("model.width=16", "model.heads=2", "model.depth=2", "model.frames=2", "mesh.data=1"),
    *("teacher.width=16", "teacher.heads=2", "teacher.depth=2", "teacher.output_width=8"),
    *("teacher.returned_layers=1", "train.batch_size=8", "train.steps=2", "log.every_steps=1"),
    "optim.learning_rate.warmup_steps=0",
)
WORDS_SMALL = (
    *("language.width=16", "language.heads=2", "language.hidden=16", "language.text_layers=1"),
    "language.shared_width=8",
)


def small(stage, start="", *more):
    words = SMALL if stage == "stage1" else (*SMALL, *WORDS_SMALL)
    if stage == "retrieval":
        words = [word for word in words if not word.startswith("teacher.")]
    name = f"umt/demo:stage={stage}" + (f",start={start}" if start else "")
    name += ",words=teacher" if start and stage == "retrieval" else ""
    return load_config(name, [*words, *more])


def run(config, workdir):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made_clips, "PROBE_CLIPS", {"probe": 96, "held_out": 48})
        results = loop.train(
            make_task(config), config, workdir, read_weights, jax.devices()[: config.mesh.data]
        )
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").open()]
    return [row["loss"] for row in rows if "loss" in row], results


def shapes_of(config):
    return nn.unbox(jax.eval_shape(make_task(config).init, jax.random.key(0)))


def test_each_stage_starts_from_the_one_before_it():
    teacher = shapes_of(small("teacher"))
    config = small("stage1", "before")
    start = shapes_of(config)
    values = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), teacher)
    started, (report,) = initialisation.apply(start, config.init, lambda _: values)
    mine = {path for path in flatten(start) if path.startswith("params/teacher/")}
    assert set(report.loaded) == mine
    assert not any(path.startswith("params/teacher/") for path in report.kept)
    config = small("retrieval", "before", "data.train=16", "data.validation=8")
    sources = {
        name: jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), tree)
        for name, tree in (("before", started), ("teacher", teacher))
    }
    _, (vision, text) = initialisation.apply(shapes_of(config), config.init, sources.__getitem__)
    assert {path.split("/")[2] for path in vision.loaded} == {"encoder", "encoder_norm"}
    assert {path.split("/")[2] for path in vision.kept} == {"pooled_norm"}
    assert {path.split("/")[1] for path in text.loaded} == {"text", "text_projection"}
    assert "params/text/embeddings/words" in text.loaded


@pytest.mark.xdist_group("umt-demo")
def test_a_probe_and_a_teacher_in_bfloat16(tmp_path):
    """The frozen part has the type that the config says, the student float32."""
    losses, results = run(small("stage1", "", "frozen.dtype=bfloat16"), tmp_path)
    assert all(0 < loss < 4 for loss in losses)
    assert results["probe/chance"] == pytest.approx(1 / 48)
    assert 0 <= results["probe/accuracy"] <= 1
    leaves = flatten(load_run(None, (), tmp_path, None)[2])
    for path, leaf in leaves.items():
        frozen = path.startswith("params/teacher/")
        assert leaf.dtype == (jnp.bfloat16 if frozen else jnp.float32), path


def test_a_teacher_names_pictures(tmp_path):
    task = make_task(small("teacher"))
    variables = jax.jit(task.init)(jax.random.key(0))
    picture = task.source("held_out").records[0][0].read(np.arange)[0]
    write_png(tmp_path / "one.png", picture.repeat(2, 0).repeat(2, 1))
    (tmp_path / "out").mkdir()
    task.predict_files(variables, [tmp_path / "one.png"], tmp_path / "out")
    found = json.loads((tmp_path / "out" / "predictions.json").read_text())
    (named,) = found.values()
    assert {answer["class"] for answer in named} < set(PICTURE_CAPTIONS)
    assert (tmp_path / "out" / "one.png").is_file()


def test_made_clips_are_records_like_others():
    task = make_task(small("retrieval", "", "data.train=16", "data.validation=64"))
    source = task.source("train")
    sample = source.transform(source.records[3], np.random.default_rng(0), "video")
    assert sample["video"].shape == (2, 36, 36, 3)
    assert sample["key"] == 3
    assert sample["mask"].all()
    assert sample["ids"].max() < len(SPECIAL) + len(WORDS)
    assert source.records.name(3).startswith("clip 3 (a ")
    sides = two_sides(task.captions("validation"))
    assert len(sides.videos) == len(set(sides.texts)) == 64
    assert CaptionRecords(sides.videos).files() == []


def test_what_is_refused():
    with pytest.raises(InputError, match="'stage': 'stage'; did you mean 'stage1'"):
        load_config("umt/demo:stage=stage")
    task = make_task(small("teacher", "", "language.vocabulary=24"))
    with pytest.raises(InputError, match="25 pieces for a word table of 24 rows"):
        _ = task.captions
