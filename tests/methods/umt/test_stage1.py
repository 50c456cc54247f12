"""Stage 1 as the engine runs it: the mask follows the teacher, a mesh changes nothing."""

import json

import jax
import numpy as np
import pytest
from flax import linen as nn
from PIL import Image

from jaxvision.errors import InputError
from jaxvision.loading import load_run
from jaxvision.methods.umt.inputs import SparseClips
from jaxvision.methods.umt.task import make_task
from jaxvision.training import loop
from jaxvision.weights.mapping import flatten
from methods.umt.small import FRAMES, SIDE, stage1

VIDEO = np.random.default_rng(0).integers(0, 256, (8, FRAMES, SIDE, SIDE, 3), np.uint8)


def losses(workdir, devices=1, **overrides):
    config = stage1(**overrides)
    loop.train(make_task(config), config, workdir, None, jax.devices()[:devices])
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").open()]
    return [row["loss"] for row in rows if "loss" in row]


@pytest.mark.xdist_group("umt-mesh")
def test_sharded_equals_one_device(tmp_path):
    expected = losses(tmp_path / "one")
    assert len(set(expected)) == 4
    mesh = {"mesh.data": 2, "mesh.fsdp": 2, "mesh.tensor": 2}
    np.testing.assert_allclose(losses(tmp_path / "eight", 8, **mesh), expected, rtol=1e-5)


class Stopped(BaseException):
    """As a kill: an ordinary error saves what is left."""


@pytest.mark.xdist_group("umt-mesh")
def test_a_resumed_run_goes_on_as_if_never_stopped(tmp_path):
    whole = losses(tmp_path / "whole")
    original = loop.Loop.log

    def stop_after_two(self, done):
        original(self, done)
        if done == 3:
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Loop, "log", stop_after_two)
        with pytest.raises(Stopped):
            losses(tmp_path / "parts", **{"checkpoint.every_steps": 2})
    assert losses(tmp_path / "parts", **{"checkpoint.every_steps": 2})[-1] == whole[-1]
    before, after = (
        flatten(load_run(None, (), tmp_path / part, None)[2]) for part in ("whole", "parts")
    )
    for path, leaf in before.items():
        np.testing.assert_array_equal(after[path], leaf, err_msg=path)


def test_the_teacher_never_trains(tmp_path):
    config = stage1()
    task = make_task(config)
    losses(tmp_path)
    trained = flatten(load_run(None, (), tmp_path, None)[2])
    groups = {path: task.parameter_group(path.removeprefix("params/"), ()) for path in trained}
    frozen = {path for path, group in groups.items() if not group.train}
    assert frozen == {path for path in trained if path.startswith("params/teacher/")}
    biases = trained.keys() - frozen
    assert not any(groups[path].decay for path in biases if path.endswith("/bias"))
    assert groups["params/heads/projection/kernel"].decay == 1


@pytest.fixture(scope="module")
def drawn():
    """(task, variables, prepared batch)."""
    task = make_task(stage1())
    variables = nn.unbox(jax.jit(task.init)(jax.random.key(0)))
    prepare = jax.jit(task.prepare, static_argnums=2)
    return task, variables, prepare({"video": VIDEO}, jax.random.key(1), True)


def test_the_mask_follows_the_teacher_s_attention(drawn):
    """Equal counts a frame, another set in each; places that get more attention come more often."""
    task, variables, batch = drawn
    guidance = jax.device_get(jax.jit(task.guidance)(variables, batch))
    places = task.teacher.places
    by_frame = guidance.visible.reshape(8, FRAMES, -1)
    assert by_frame.shape[2] == places - int(places * 0.5)
    np.testing.assert_array_equal(
        by_frame // places, np.arange(FRAMES)[None, :, None] + 0 * by_frame
    )
    assert (np.diff(guidance.visible, axis=1) > 0).all()
    assert (
        len({frame.tobytes() for frame in (by_frame % places).reshape(-1, by_frame.shape[2])}) > 8
    )
    np.testing.assert_allclose(np.linalg.norm(guidance.targets, axis=-1), 1, rtol=1e-5)


def test_sparing_the_teacher_changes_no_number(drawn):
    task, variables, batch = drawn
    whole = make_task(stage1(**{"task.spare_teacher": False}))
    spared, full = (jax.jit(t.guidance)(variables, batch) for t in (task, whole))
    np.testing.assert_array_equal(spared.visible, full.visible)
    np.testing.assert_allclose(spared.targets, full.targets, atol=1e-5)
    assert task.flops("train") < whole.flops("train")


def test_a_sample_is_masked_alike_in_any_batch(drawn):
    task = drawn[0]
    prepare = jax.jit(task.prepare, static_argnums=2)
    index = np.arange(8, dtype=np.int32)
    whole = prepare({"video": VIDEO, "index": index}, jax.random.key(1), False)
    part = prepare({"video": VIDEO[5:7], "index": index[5:7]}, jax.random.key(1), False)
    np.testing.assert_array_equal(whole["noise"][5:7], part["noise"])


def test_pictures_of_what_the_teacher_looked_at(drawn, tmp_path):
    task, variables, batch = drawn
    outputs = jax.device_get(jax.jit(task.predict)(variables, batch, jax.random.key(2)))
    grey = (outputs["visible"] == 128).all(axis=-1).mean()
    assert grey == pytest.approx(0.5, abs=0.01)
    assert (outputs["attention"] <= outputs["original"]).all()
    np.testing.assert_array_equal(outputs["original"], VIDEO)
    Image.fromarray(VIDEO[0, 0].repeat(3, 0).repeat(3, 1)).save(tmp_path / "one.png")
    (tmp_path / "out").mkdir()
    written = task.predict_files(variables, [tmp_path / "one.png"], tmp_path / "out")
    assert [path.name for path in written] == ["one.png", "one.mp4", "predictions.json"]
    assert all(path.is_file() for path in written)
    answers = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert 0 < answers[str(tmp_path / "one.png")]["loss"] < 4


def test_a_teacher_of_another_grid_is_adapted():
    task = make_task(stage1())
    table = np.random.default_rng(0).standard_normal((1 + 49, 24)).astype(np.float32)
    found = task.adapt("params/teacher/positions", table, (1 + 16, 24))
    assert found.shape == (17, 24)
    np.testing.assert_array_equal(found[0], table[0])
    with pytest.raises(InputError, match="48 positions are no square"):
        task.adapt("params/teacher/positions", table[:-1], (1 + 16, 24))
    with pytest.raises(InputError, match="cannot adapt params/encoder_norm/scale"):
        task.adapt("params/encoder_norm/scale", table[0], (3,))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"teacher.image_size": (35, 35)}, r"teacher.image_size by teacher.patch: \(4, 5, 5\)"),
        ({"task.loss": "l3"}, "task.loss 'l3'; did you mean 'l2'"),
        ({"teacher.returned_layers": 4}, "returned_layers=4 at an interval of 1.0"),
        ({"data.name": "cameras"}, "data.name 'cameras'; did you mean 'camera'"),
        ({"data.name": "videos"}, "data.list: expected a list file"),
        ({"task.mask_ratio": 0.0}, "task.mask_ratio=0.0 leaves 16 of a frame's 16 tokens"),
    ],
)
def test_what_is_refused(overrides, message):
    task = make_task(stage1(**overrides))

    def start():
        task.source("train")
        assert task.visible
        jax.eval_shape(task.init, jax.random.key(0))

    with pytest.raises(InputError, match=message) as error:
        start()
    assert "\n" not in str(error.value)


def test_frames_of_pretraining():
    clips, rng = SparseClips(8, (SIDE, SIDE)), np.random.default_rng(0)
    for _ in range(20):
        numbers = clips.numbers(83, rng)
        assert (numbers // 10 == np.arange(8)).all()
    np.testing.assert_array_equal(clips.numbers(7, rng), np.zeros(8))
    frames = rng.integers(0, 256, (3, 40, 60, 3), np.uint8)
    crops = [clips.crop(frames, np.random.default_rng(seed)) for seed in range(8)]
    still = [
        SparseClips(8, (SIDE, SIDE), flip=False).crop(frames, np.random.default_rng(seed))
        for seed in range(8)
    ]
    mirrored = [not np.array_equal(a, b) for a, b in zip(crops, still, strict=True)]
    assert 0 < sum(mirrored) < 8
    for crop, plain, flipped in zip(crops, still, mirrored, strict=True):
        np.testing.assert_array_equal(crop, plain[:, :, ::-1] if flipped else plain)
