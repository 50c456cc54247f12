"""The notebooks of docs/notebooks, cell by cell in one process, at a small size."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import linen as nn

import media
from docs.small_networks import use_one_device
from jaxvision.data.video import Video
from jaxvision.registry import load_config, make_task
from jaxvision.viz.files import write_mp4
from jaxvision.weights import convert
from jaxvision.weights.mapping import flatten, unflatten

NOTEBOOKS = Path(__file__).parents[2] / "docs" / "notebooks"
SMALL_VIDEOS = [
    *("model.frames=4", "model.image_size=(16,16)", "model.patch=8", "model.width=32"),
    *("model.heads=2", "model.depth=1", "init=()", "task.stride=2", "task.segments=1"),
    *("task.crops=1", "train.batch_size=8", "train.epochs=2.0", "evaluate.every_epochs=0.0"),
]
SMALL_PLAN = [
    *("model.frames=4", "model.tubelet=2", "model.image_size=(16,16)", "model.patch=8"),
    "model.width=32",
    *("model.heads=2", "model.depth=1", "model.decoder_width=16", "model.decoder_depth=1"),
    "train.batch_size=8",
]


def run(name: str, yours: dict) -> dict:
    """What a notebook's cells leave behind; `yours` are its first cell's values."""
    text = (NOTEBOOKS / name).read_text()
    cells = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    asked = re.findall(r"^([A-Z]+) = ", cells[0], re.MULTILINE)
    assert set(asked) == set(yours), "the first cell is what is the reader's"
    left = dict(yours)
    for number, cell in enumerate(cells[1:], 2):
        exec(compile(cell, f"{name}, cell {number}", "exec"), left)
    return left


def test_every_notebook_is_run():
    ours = {"classify_and_probe.md", "interpolate_a_video.md", "plan_a_pod.md"}
    assert {file.name for file in NOTEBOOKS.iterdir()} == ours


@pytest.mark.xdist_group("frozen_head")
def test_classify_and_probe(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    use_one_device(monkeypatch)
    videos = media.bars(tmp_path / "videos", train=8, validation=2)
    yours = {"VIDEOS": str(videos), "RECIPE": "videomae/own_head", "SETTINGS": SMALL_VIDEOS}
    left = run("classify_and_probe.md", yours)
    said = capsys.readouterr().out
    assert "0 to make" in said, "the probe finds what the head was trained on"
    assert left["seen"].shape == (16, 32)
    assert left["unseen"].shape == (4, 32)
    assert len(left["nearest"]) == 4
    assert re.search(r"a linear probe: \d+\.\d%\nthe commonest class: 50\.0%", said)
    assert len(list((tmp_path / "answers").glob("*.png"))) == 4


@pytest.mark.xdist_group("emavfi_task")
def test_interpolate_a_video(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    write_mp4(tmp_path / "clip.mp4", rng.integers(0, 256, (5, 64, 64, 3), np.uint8), 8)
    recipe, settings = "emavfi/demo", ["model.depths=(1,1,1,1,1)"]
    shapes = nn.unbox(
        jax.eval_shape(make_task(load_config(recipe, settings)).init, jax.random.key(0))
    )
    drawn = {
        path: (0.02 * rng.standard_normal(leaf.shape)).astype(np.float32)
        for path, leaf in flatten(shapes).items()
    }
    origin = convert.Origin("emavfi/ours")
    convert.save(tmp_path / "weights", convert.Converted(unflatten(drawn), {}, origin))
    left = run(
        "interpolate_a_video.md",
        {"VIDEO": "clip.mp4", "RECIPE": recipe, "WEIGHTS": "weights", "SETTINGS": settings},
    )
    assert len(left["ours"]) == 2
    assert np.isfinite(left["ours"]).all()
    with Video(tmp_path / "slow.mp4") as video:
        assert len(video) == 4 * 4 + 1
    assert re.search(r"network \d+\.\d\d dB, blend \d+\.\d\d dB", capsys.readouterr().out)


@pytest.mark.xdist_group("tpu_compiler")
def test_plan_a_pod(capsys):
    yours = {
        "RECIPE": "videomae/demo",
        "SETTINGS": SMALL_PLAN,
        "MACHINES": ["v5e:2x4"],
        "RECORDS": 4096,
        "PRICE": 1.2,
    }
    left = run("plan_a_pod.md", yours)
    assert left["plans"][0].fits
    assert re.search(r"v5e:2x4: 0\.\d of 1\d\.\d GiB a chip; \d", capsys.readouterr().out)
