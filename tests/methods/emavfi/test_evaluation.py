"""A benchmark end to end through the engine, with frames of two sizes; and a short training run."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from jaxvision.methods.emavfi import inference
from jaxvision.metrics import image_quality as quality
from jaxvision.training import loop
from jaxvision.training.evaluation import Evaluator
from jaxvision.training.mesh import make_mesh
from methods.emavfi.test_network import MODEL, demo_task, tiny_variables


@pytest.fixture
def ucf101(tmp_path):
    rng = np.random.default_rng(0)
    for number, size in enumerate([(32, 48), (48, 32), (32, 48)]):
        folder = tmp_path / "ucf" / f"{number}"
        folder.mkdir(parents=True)
        for name in ("frame_00", "frame_01_gt", "frame_02"):
            picture = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(picture).save(folder / f"{name}.png")
    return tmp_path / "ucf"


def by_hand(root):
    """PSNR and SSIM of every folder: BGR, no padding, rounded to 8 bits."""
    run = jax.jit(
        lambda pair: inference.interpolate(
            MODEL, tiny_variables(), pair, (0.5,), inference.InferenceSettings(divisor=0)
        )[0]
    )
    rows = []
    for folder in sorted(root.iterdir()):
        first, truth, last = (
            np.asarray(Image.open(folder / f"{name}.png"))[..., ::-1] / np.float32(255)
            for name in ("frame_00", "frame_01_gt", "frame_02")
        )
        frame = np.round(np.asarray(run(np.stack([first, last])[None])[0]) * 255) / 255
        rows.append((quality.psnr(frame, truth), quality.ssim_volume(frame, truth)))
    return np.mean(rows, axis=0)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_benchmark_with_two_frame_sizes(ucf101, batch):
    config = demo_task().config.copy_and_resolve_references()
    with config.unlocked():
        config.task.benchmarks = {"ucf101": str(ucf101)}
        config.task.evaluation_batch = batch
        config.data.name = "folders"
    task = type(demo_task())(config.lock())
    evaluator = Evaluator(task, make_mesh({"data": 1, "fsdp": 1, "tensor": 1}, jax.devices()[:1]))
    assert set(evaluator.evaluations) == {"ucf101"}
    assert set(evaluator.evaluations["ucf101"].batch_specs) == {"32x48", "48x32"}
    evaluator.compile(tiny_variables())
    results, _ = evaluator.run(tiny_variables())
    assert results["ucf101/images"] == 3
    got = [results["ucf101/psnr"], results["ucf101/ssim"]]
    np.testing.assert_allclose(got, by_hand(ucf101), rtol=1e-4)


def test_training_runs_and_is_compared_with_blending(tmp_path):
    config = demo_task(
        **{"train.steps": 3, "log.every_steps": 1, "log.pictures_every_steps": 3, "mesh.data": 1}
    ).config
    results = loop.train(type(demo_task())(config), config, tmp_path, None, jax.devices()[:1])
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert len(losses) == 3
    assert np.isfinite(losses).all()
    found = {key.rsplit("/", 1)[-1]: value for key, value in results.items()}
    assert found["gain_over_blend"] == pytest.approx(found["psnr"] - found["psnr_blend"])
    assert found["psnr_blend"] > found["psnr_nearest"]
    assert list((tmp_path / "pictures").glob("interpolation_*.png"))
