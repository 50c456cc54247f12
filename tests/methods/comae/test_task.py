"""CoMAE's three stages under the engine: one after the other, on any mesh, files in and out."""

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from PIL import Image

from jaxvision.errors import InputError
from jaxvision.loading import read_weights
from jaxvision.methods.comae.task import SEEN, draw_seen
from jaxvision.registry import make_task
from jaxvision.training.config import load_config
from jaxvision.training.loop import train

SMALL = (
    "model.width=32",
    "model.depth=2",
    "model.heads=2",
    "model.image_size=16",
    "model.patch=4",
    "data.side=20",
    "data.train=16",
    "data.validation=12",
    "train.batch_size=8",
    "train.draw_groups=2",
    "train.steps=3",
    "log.every_steps=1",
    "checkpoint.every_steps=3",
)
DECODER = ("model.decoder_width=16", "model.decoder_heads=2", "model.decoder_depth=1")
MIXING = ("task.mixup_alpha=0.8", "task.cutmix_alpha=1.0", "task.erase_probability=0.5")
STAGES = {"contrast": (), "autoencoder": DECODER, "classification": MIXING}


def config_of(stage, *overrides, start=""):
    arguments = f"stage={stage}" + (f",start={start}" if start else "")
    return load_config(f"comae/demo:{arguments}", (*SMALL, *STAGES[stage], *overrides))


@dataclass
class Trained:
    """A stage on one device: what it learnt, in float32, and from where."""

    start: str
    losses: list[float]
    results: dict[str, float]
    said: str
    workdir: Path


def learn(workdir, config, devices):
    """(losses, the last evaluation's results)"""
    results = train(make_task(config), config, workdir, read_weights, jax.devices()[:devices])
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").open()]
    return [row["loss"] for row in rows if "loss" in row], results


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The three stages, each from the one before."""
    stages, start = {}, ""
    for stage in STAGES:
        workdir, said = tmp_path_factory.mktemp(stage) / "run", io.StringIO()
        config = config_of(stage, "mesh.data=1", "log.pictures_every_steps=3", start=start)
        with contextlib.redirect_stdout(said):
            losses, results = learn(workdir, config, 1)
        words = " ".join(said.getvalue().split())
        stages[stage] = Trained(start, losses, results, words, workdir)
        start = str(workdir)
    return stages


@pytest.mark.xdist_group("comae-mesh")
@pytest.mark.parametrize("stage", STAGES)
def test_sharded_equals_one_device(trained, tmp_path, stage):
    one = trained[stage]
    assert len(set(one.losses)) == 3
    mesh = ("mesh.data=2", "mesh.fsdp=2", "mesh.tensor=2", "log.pictures_every_steps=0")
    got, _ = learn(tmp_path / "run", config_of(stage, *mesh, start=one.start), 8)
    np.testing.assert_allclose(got, one.losses, rtol=1e-5)


@pytest.mark.xdist_group("comae-mesh")
def test_bfloat16_is_close_to_float32(trained, tmp_path):
    one = trained["autoencoder"]
    config = config_of("autoencoder", "mesh.data=1", "dtype=bfloat16", start=one.start)
    got, _ = learn(tmp_path / "run", config, 1)
    assert got != one.losses
    np.testing.assert_allclose(got, one.losses, rtol=0.03)


@pytest.mark.xdist_group("comae-mesh")
def test_each_stage_starts_from_the_one_before_and_the_last_one_predicts(trained, tmp_path):
    for stage in trained.values():
        assert ("init: " in stage.said) == bool(stage.start)
        assert list((stage.workdir / "pictures").glob("*.png"))
    last = trained["classification"]
    results, task = last.results, make_task(config_of("classification", start=last.start))
    for protocol in ("both", "rgb", "depth"):
        assert 0 <= results[f"{protocol}/top1"] <= results[f"{protocol}/top5"] <= 1
        assert 0 <= results[f"{protocol}/mean_class"] <= 1
        assert 0 <= results[f"{protocol}/recall/kitchen"] <= 1

    canvas = np.random.default_rng(0).integers(0, 256, (20, 52, 3), dtype=np.uint8)
    (tmp_path / "rgb").mkdir()
    (tmp_path / "depth").mkdir()
    Image.fromarray(canvas).save(tmp_path / "canvas.png")
    Image.fromarray(canvas[:, :26]).save(tmp_path / "rgb" / "pair.png")
    Image.fromarray(canvas[:, 26:]).save(tmp_path / "depth" / "pair.png")
    Image.fromarray(canvas[:, :26]).save(tmp_path / "alone.png")
    variables = read_weights(str(last.workdir))
    paths = [tmp_path / "canvas.png", tmp_path / "rgb" / "pair.png", tmp_path / "alone.png"]
    out = tmp_path / "answers"
    out.mkdir()
    written = task.predict_files(variables, paths, out)
    assert {path.name for path in written} >= {"canvas.png", "pair.png", "alone.png"}
    answers = json.loads((out / "predictions.json").read_text())
    of = {
        path.name: {answer["class"]: answer["probability"] for answer in answers[str(path)]}
        for path in paths
    }
    # A canvas and the same pair as two files are one input; RGB alone is another.
    assert of["canvas.png"] == of["pair.png"]
    assert of["canvas.png"] != of["alone.png"]


def test_groups_share_one_draw_and_all_choices_come():
    seen = np.asarray(draw_seen(jax.random.key(0), 400, 1600)).reshape(400, 4, 2)
    assert (seen == seen[:, :1]).all()
    shares = [(seen[:, 0] == choice).all(axis=1).mean() for choice in SEEN]
    np.testing.assert_allclose(shares, [0.5, 0.25, 0.25], atol=0.08)


def test_a_modality_that_is_left_out_has_no_say():
    config = config_of("classification")
    task = make_task(config)
    variables = nn.unbox(jax.jit(task.init)(jax.random.key(0)))
    rng = np.random.default_rng(0)
    rgb, depth, other = (jnp.asarray(rng.normal(size=(2, 16, 16, 3)), jnp.float32) for _ in "abc")

    @jax.jit
    def features(rgb, depth, seen):
        return task.model.apply(variables, rgb, depth, seen, features=True)

    only_rgb = jnp.array([[True, False]] * 2)
    np.testing.assert_array_equal(features(rgb, depth, only_rgb), features(rgb, other, only_rgb))
    both = jnp.ones((2, 2), bool)
    assert np.abs(features(rgb, depth, both) - features(rgb, other, both)).max() > 1e-3


@pytest.mark.parametrize(
    ("stage", "override", "message"),
    [
        ("classification", "train.draw_groups=8", "groups of 1 samples; mixing pairs them"),
        ("autoencoder", "task.mask_ratio=1.0", "keeps 0 of 16 patches"),
        ("contrast", "model.patch=5", "16 does not divide by 5"),
        ("contrast", "model.heads=5", "32 does not divide by 5"),
    ],
)
def test_impossible_settings_are_named(stage, override, message):
    def prepare():
        task = make_task(config_of(stage, override))
        task.batch_specs("train")
        jax.eval_shape(task.init, jax.random.key(0))

    with pytest.raises(InputError, match=message):
        prepare()


def test_an_unknown_stage_or_recipe_argument_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'contrast'"):
        load_config("comae/demo:stage=contrst")
    with pytest.raises(InputError, match="did you mean 'small'"):
        load_config("comae/finetune:size=smal")
    with pytest.raises(InputError, match="did you mean 'nyud'"):
        load_config("comae/finetune:data=nyu")


def test_a_class_without_validation_pairs_is_named(tmp_path):
    for split, names in (("train", ("bedroom", "kitchen")), ("val", ("bedroom",))):
        for name in names:
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("RGB", (52, 20)).save(tmp_path / split / name / "a.png")
    overrides = (f"data.root={tmp_path}", "data.train=train", "data.validation=val")
    config = load_config("comae/finetune", overrides)
    with pytest.raises(InputError, match="no pictures of kitchen"):
        make_task(config).evaluations()


def test_published_rates_are_those_of_fractional_epochs():
    """Step k of an epoch has the rate of e + 2k/37, in fine-tuning e + 6k/37."""
    from jaxvision.training.schedules import make

    for stage, per_epoch, share in (("contrast", 18, 2 / 37), ("finetune", 6, 6 / 37)):
        config = load_config(f"comae/{stage}")
        steps = int(config.train.epochs * per_epoch)
        scale = config.train.batch_size / config.optim.batch_scaling
        schedule = make(config.optim.learning_rate.to_dict(), steps, per_epoch, scale)
        peak = config.optim.learning_rate.peak * scale
        warmup = config.optim.learning_rate.warmup_epochs
        step = 3 * per_epoch + 2
        assert float(schedule(step)) == pytest.approx(peak * (3 + 2 * share) / warmup, rel=1e-5)
