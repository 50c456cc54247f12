"""Pretraining as the engine runs it: sharded equals unsharded, and the masks are the paper's."""

import json

import jax
import numpy as np
import pytest

from jaxvision.methods.videomae.task import make_task
from jaxvision.training import loop
from jaxvision.training.config import load_config
from processes import SMALL


def small_config(*overrides):
    words = [word.removeprefix("--config.") for word in SMALL]
    return load_config("videomae/demo", [*words, "train.steps=5", "mesh.data=1", *overrides])


def losses(workdir, devices, *overrides):
    config = small_config(*overrides)
    loop.train(make_task(config), config, workdir, None, jax.devices()[:devices])
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").open()]
    return [row["loss"] for row in rows if "loss" in row]


@pytest.mark.xdist_group("videomae-mesh")
@pytest.mark.parametrize("remat", ["none", "full"])
def test_sharded_equals_one_device(tmp_path, remat):
    expected = losses(tmp_path / "one", 1)
    assert len(set(expected)) == 5
    mesh = ["mesh.data=2", "mesh.fsdp=2", "mesh.tensor=2", f"model.remat={remat}"]
    got = losses(tmp_path / "eight", 8, *mesh)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_bfloat16_is_close_to_float32(tmp_path):
    expected = losses(tmp_path / "float32", 1)
    got = losses(tmp_path / "bfloat16", 1, "dtype=bfloat16")
    assert got != expected
    np.testing.assert_allclose(got, expected, rtol=0.03)


@pytest.mark.parametrize("mask", ["tube", "random"])
@pytest.mark.parametrize("ratio", [0.5, 0.75, 0.9])
def test_masks_drawn_on_the_device(mask, ratio):
    task = make_task(
        small_config(
            f"task.encoder_mask={mask}",
            f"task.encoder_mask_ratio={ratio}",
            "model.image_size=(32,32)",
            "model.patch=4",
        )
    )
    frames, side = 2, 8
    video = np.zeros((8, 4, 32, 32, 3), np.uint8)
    batch = jax.jit(task.prepare, static_argnums=2)({"video": video}, jax.random.key(0), True)
    visible = np.asarray(batch["visible"])
    hidden_places = (
        int(ratio * side**2) * frames if mask == "tube" else int(ratio * frames * side**2)
    )
    assert visible.shape == (8, frames * side**2 - hidden_places)
    assert (np.diff(visible, axis=1) > 0).all()
    assert len({row.tobytes() for row in visible}) == 8, "a mask per sample"
    if mask == "tube":
        first, second = visible[:, : visible.shape[1] // 2], visible[:, visible.shape[1] // 2 :]
        np.testing.assert_array_equal(first + side**2, second)
    seen = np.zeros((8, frames * side**2), bool)
    np.put_along_axis(seen, visible, True, axis=1)
    np.testing.assert_array_equal(
        batch["hidden"], ~np.take_along_axis(seen, np.asarray(batch["decoded"]), 1)
    )


def test_a_sample_is_masked_alike_in_any_batch():
    """What an evaluation says of a record does not depend on its neighbours."""
    task = make_task(small_config())
    video = np.random.default_rng(0).integers(0, 256, (8, 4, 16, 16, 3), np.uint8)
    prepare = jax.jit(task.prepare, static_argnums=2)
    index = np.arange(8, dtype=np.int32)
    whole = prepare({"video": video, "index": index}, jax.random.key(1), False)
    part = prepare({"video": video[5:7], "index": index[5:7]}, jax.random.key(1), False)
    for name in ("visible", "decoded", "hidden"):
        np.testing.assert_array_equal(whole[name][5:7], part[name])


def test_reconstruction_keeps_what_was_visible():
    task = make_task(small_config())
    variables = jax.jit(task.init)(jax.random.key(0))
    video = np.random.default_rng(0).integers(0, 256, (8, 4, 16, 16, 3), np.uint8)

    @jax.jit
    def answer(variables, video):
        batch = task.prepare({"video": video}, jax.random.key(1), False)
        return batch["visible"], task.predict(nn.unbox(variables), batch, jax.random.key(2))

    visible, outputs = jax.device_get(answer(variables, video))
    hidden = (outputs["masked"] == 128).all(axis=(2, 3, 4))
    np.testing.assert_array_equal(outputs["original"], video)
    same = outputs["reconstructed"] == video
    # 4 of 8 tokens are visible: half of every clip's pixels stay as they are.
    assert (same.mean(axis=(1, 2, 3, 4)) >= visible.shape[1] / 8).all()
    assert (same.mean(axis=(1, 2, 3, 4)) < 0.9).all()
    assert not hidden.all()
