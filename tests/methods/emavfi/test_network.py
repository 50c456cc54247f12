"""The network around its goldens: time per sample, tiles, augmentation, names, answers to files."""

import functools
import json
import logging
import re
import warnings
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.core import meta
from PIL import Image

import media
from jaxvision.errors import InputError, Unanswered
from jaxvision.methods.emavfi import inference, weights
from jaxvision.methods.emavfi.flops import forward_flops
from jaxvision.methods.emavfi.inference import Answer, InferenceSettings, Interpolator
from jaxvision.methods.emavfi.model import InterpolationNetwork
from jaxvision.methods.emavfi.task import make_task
from jaxvision.methods.emavfi.variants import BASE, SMALL, VARIANTS, NetworkConfig
from jaxvision.ops.padding import Padder
from jaxvision.training.config import load_config
from jaxvision.weights import to_state_dict, to_variables
from jaxvision.weights.mapping import flatten, unflatten
from methods.emavfi.stand_in import flat, write_frames

TINY = NetworkConfig(width=4, depths=(1, 1, 1, 1, 1))
MODEL = InterpolationNetwork(TINY)


@functools.cache
def tiny_variables():
    """Random weights whose flows are a few pixels long, so that warping matters."""
    shapes = jax.eval_shape(MODEL.init, jax.random.key(0), jnp.zeros((1, 2, 64, 64, 3)), 0.5)
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        last = path.rsplit("/", 1)[-1]
        if last == "slope":
            return np.full(leaf.shape, 0.25, np.float32)
        fan_in = max(int(np.prod(leaf.shape[:-1])), 1)
        values = rng.standard_normal(leaf.shape) / np.sqrt(fan_in)
        if last == "scale":
            values = 1 + 0.1 * values
        return values.astype(np.float32)

    leaves = flatten(meta.unbox(shapes))
    return unflatten({path: draw(path, leaf) for path, leaf in leaves.items()})


def noise_pair(height, width, batch=1):
    return np.random.default_rng(1).random((batch, 2, height, width, 3)).astype(np.float32)


@pytest.mark.parametrize("name", VARIANTS)
def test_parameter_counts(name):
    variant = VARIANTS[name]
    entries = weights.entries(variant.network)
    model = InterpolationNetwork(variant.network)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 2, 64, 64, 3)), 0.5)
    leaves = jax.tree.leaves(meta.unbox(shapes))
    assert sum(np.prod(leaf.shape, dtype=int) for leaf in leaves) == variant.parameters
    assert sum(np.prod(entry.shape, dtype=int) for entry in entries) == variant.parameters
    assert len(entries) == {SMALL: 186, BASE: 266}[variant.network]


def test_flops_are_those_counted_for_the_published_models():
    assert forward_flops(SMALL, 256, 256) == pytest.approx(29.3e9, rel=2e-3)
    assert forward_flops(BASE, 256, 256) == pytest.approx(129.8e9, rel=2e-3)


def test_a_time_per_sample_is_the_time_of_each_sample():
    run = jax.jit(lambda pair, t: MODEL.apply(tiny_variables(), pair, t).frame)
    pair = noise_pair(64, 64, batch=2)
    both = run(pair, jnp.array([0.25, 0.75]))
    for row, t in enumerate((0.25, 0.75)):
        alone = run(pair[row : row + 1], jnp.array([t]))
        np.testing.assert_allclose(both[row], alone[0], atol=2e-5)
    assert np.abs(run(pair, jnp.array([0.75, 0.25])) - both).max() > 1e-3


@pytest.mark.parametrize("size", [(256, 320), (288, 192)])
def test_tiles_give_the_whole_frame(size):
    pair, variables = noise_pair(*size), tiny_variables()

    @functools.partial(jax.jit, static_argnums=1)
    def run(pair, tile):
        settings = InferenceSettings(0.5, tile=tile)
        encoded = inference.encode_pair(MODEL, variables, pair, settings)
        frame, motion = inference.frame_at(
            MODEL, variables, encoded, 0.5, size=size, settings=settings
        )
        return frame, motion.flow

    whole, flow = run(pair, 0)
    assert np.abs(flow).max() > 1
    tiled, _ = run(pair, 64)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_tiles_cover_a_side_and_stay_inside():
    for size, tile in [(256, 64), (288, 64), (192, 192), (1088, 512), (96, 64)]:
        covered = np.zeros(size, int)
        for view, start in inference.tiles(size, tile):
            length = min(tile + 2 * inference.HALO, size)
            assert 0 <= view <= start
            assert start + tile <= view + length <= size
            assert start - view >= inference.HALO or view == 0
            assert view + length - start - tile >= inference.HALO or view + length == size
            assert view % 16 == 0
            covered[start : start + tile] += 1
        assert covered.min() >= 1


def test_augmentation_is_the_mean_with_the_turned_pair():
    variables, pair = tiny_variables(), noise_pair(64, 96, batch=2)
    times = jnp.array([0.25, 0.75])
    run = jax.jit(
        lambda pair, settings: inference.interpolate(MODEL, variables, pair, (times,), settings)[0],
        static_argnums=1,
    )
    plain, turned = (run(p, InferenceSettings()) for p in (pair, pair[:, :, ::-1, ::-1]))
    got = run(pair, InferenceSettings(augment=True))
    np.testing.assert_allclose(got, (plain + turned[:, ::-1, ::-1]) / 2, atol=1e-5)


def test_shrunk_sides_are_multiples_of_16_and_published_paddings_stay():
    for scale, divisor in [(1, 32), (0.5, 32), (0.25, 64)]:
        padder = inference.padder_for(70, 93, InferenceSettings(scale))
        assert (70 + padder.top + padder.bottom) % divisor == 0
        assert (93 + padder.left + padder.right) % divisor == 0
    for size, scale, divisor in [
        ((720, 1280), 0.5, 32),  # SNU-FILM
        ((1080, 2048), 0.5, 16),  # Xiph
        ((1080, 2048), 0.5, 32),  # X-TEST 2K
        ((2160, 4096), 0.25, 32),  # X-TEST 4K
    ]:
        settings = InferenceSettings(scale, divisor=divisor)
        assert inference.padder_for(*size, settings) == Padder.for_size(*size, divisor)


def test_published_names_load_and_a_missing_one_is_named():
    entries = weights.entries(TINY)
    state = to_state_dict(tiny_variables(), entries)
    variables, unused = to_variables(state, entries)
    assert not unused
    for path, value in flatten(variables).items():
        np.testing.assert_array_equal(value, flatten(tiny_variables())[path])
    del state["unet.conv.bias"]
    with pytest.raises(InputError, match=r"1 missing: unet\.conv\.bias"):
        to_variables(state, entries)


class CountCompiles(logging.Handler):
    """The names of the functions that were compiled in a block."""

    def __init__(self):
        super().__init__()
        self._names = []

    def emit(self, record):
        if found := re.search(r"Compiling (?:jit\()?(\w+)", record.getMessage()):
            self._names.append(found.group(1))

    def of(self, name):
        return self._names.count(name)

    def __enter__(self):
        logging.getLogger("jax").addHandler(self)
        return self

    def __exit__(self, *_):
        logging.getLogger("jax").removeHandler(self)


class Halves(Interpolator):
    """Answers with the mean, and counts how often the network would run."""

    def __init__(self):
        self.any_time, self.runs = False, 0

    def answers(self, first, last, times):
        assert list(times) == [Fraction(1, 2)]
        self.runs += 1
        mean = ((first.astype(int) + last) // 2).astype(np.uint8)
        return [Answer(mean, np.zeros(0), np.zeros(0))]


def test_weights_of_one_time_reach_others_by_halving():
    halves = Halves()
    times = [Fraction(i, 8) for i in range(1, 8)]
    frames = halves.between(flat(0), flat(160), times)
    assert [int(frame[0, 0, 0]) for frame in frames] == [20, 40, 60, 80, 100, 120, 140]
    assert halves.runs == 7


def demo_task(**overrides):
    given = ["model.depths=(1,1,1,1,1)", "model.width=4", "model.unet_ratio=2"]
    return make_task(load_config("emavfi/demo", given + [f"{k}={v}" for k, v in overrides.items()]))


def test_two_pictures_are_answered_with_pictures_and_a_table(tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (50, 70, 3), dtype=np.uint8)).save(path)
    task = demo_task(**{"model.any_time": False, "task.predict.times": "(0.25,0.5)"})
    with pytest.warns(UserWarning, match=r"trained for t = 0\.5 alone"):
        written = task.predict_files(tiny_variables(), paths, tmp_path)
    names = {path.name for path in written}
    kinds = ("", "_flow0", "_flow1", "_mask")
    expected = {f"a_b_t{t}{kind}.png" for t in ("0.250", "0.500") for kind in kinds}
    assert names == expected | {"a_b_strip.png", "a_b.json"}
    pair = np.stack([np.asarray(Image.open(p))[..., ::-1] for p in paths])[None] / np.float32(255)
    (want,) = jax.jit(lambda pair: inference.interpolate(MODEL, tiny_variables(), pair, (0.5,)))(
        pair
    )
    got = np.asarray(Image.open(tmp_path / "a_b_t0.500.png"))[..., ::-1]
    # Half a level of rounding, and what two programs of one network may differ by (1e-5 of 1).
    assert np.abs(got - np.asarray(want[0]) * 255).max() <= 0.5 + 255 * 1e-5
    table = json.loads((tmp_path / "a_b.json").read_text())
    assert table["size"] == [70, 50]
    assert [row["t"] for row in table["answers"]] == [0.25, 0.5]
    assert np.asarray(Image.open(tmp_path / "a_b_strip.png")).shape == (50, 4 * 70 + 3 * 2, 3)


def test_no_warning_at_the_time_the_weights_know(tmp_path):
    interpolator = Interpolator(MODEL, tiny_variables(), InferenceSettings(), any_time=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        interpolator.between(flat(10, (32, 32)), flat(20, (32, 32)), [Fraction(1, 2)])


def test_a_frame_size_compiles_once_whatever_the_times():
    interpolator = Interpolator(MODEL, tiny_variables(), InferenceSettings(), any_time=True)
    with jax.log_compiles(), CountCompiles() as count:
        for times in ([Fraction(1, 2)], [Fraction(1, 3), Fraction(2, 3)], []):
            frames = interpolator.between(flat(10, (32, 40)), flat(20, (32, 40)), times)
            assert len(frames) == len(times)
    assert count.of("encode") == 1
    assert count.of("answer") == 1


def test_pictures_that_cannot_be_interpolated_are_refused(tmp_path):
    task = demo_task()
    one, two = write_frames(tmp_path / "clip", [1, 2])
    with pytest.raises(InputError, match=r"000\.png: one picture"):
        task.predict_files(tiny_variables(), [one], tmp_path)
    Image.fromarray(flat(3, (24, 30))).save(two)
    with pytest.raises(InputError, match=r"001\.png: 30x24, but the frames before it have 32x24"):
        task.predict_files(tiny_variables(), [one, two], tmp_path)
    with pytest.raises(InputError, match="not between 0 and 1"):
        demo_task(**{"task.predict.times": "(1.5,)"}).predict_files({}, [one, two], tmp_path)


def test_crops_the_loss_cannot_take_are_refused():
    with pytest.raises(InputError, match=r"data\.crops: 48x64"):
        demo_task(**{"data.crops": "((48,64),)"}).batch_specs("train")


def test_every_crop_is_a_bucket():
    task = demo_task(**{"data.crops": "((64,64),(64,96))"})
    specs = task.batch_specs("train")
    assert {name: spec["frames"].shape for name, spec in specs.items()} == {
        "64x64": (8, 3, 64, 64, 3),
        "64x96": (8, 3, 64, 96, 3),
    }
    source = task.source("train")
    sample = source.transform(source.records[0], np.random.default_rng(0), "64x96")
    assert sample["frames"].shape == (3, 64, 96, 3)


def test_folders_of_one_name_and_of_another_job_do_not_meet(tmp_path):
    given = [
        *write_frames(tmp_path / "a" / "frames", [10, 20, 30], (32, 32)),
        *write_frames(tmp_path / "b" / "frames", [60, 70, 80], (32, 32)),
    ]
    out = tmp_path / "out"
    demo_task().predict_files(tiny_variables(), given, out)
    for name, first in (("frames", 10), ("frames_2", 60)):
        assert len(list((out / name).glob("*.png"))) == 5
        assert int(np.asarray(Image.open(out / name / "00000000.png"))[0, 0, 0]) == first
    with pytest.raises(InputError, match=r"another job's answers \(options.multiple: 2 there, 4"):
        demo_task(**{"task.predict.multiple": 4}).predict_files(tiny_variables(), given, out)
    assert len(list((out / "frames").glob("*.png"))) == 5


def test_what_cannot_be_read_ends_nothing(tmp_path, capsys):
    good = [
        media.video(tmp_path / f"{name}.mp4", [flat(g, (32, 32)) for g in (40, 80, 120)])
        for name in ("a", "c")
    ]
    bad = [tmp_path / "b.mp4", *write_frames(tmp_path / "poster", [1]), tmp_path / "notes.txt"]
    for path in (bad[0], bad[2]):
        path.write_bytes(b"no video")
    out = tmp_path / "out"
    with pytest.raises(Unanswered, match=r"^3 of 5 inputs could not be answered"):
        demo_task().predict_files(tiny_variables(), [good[0], *bad, good[1]], out)
    told = capsys.readouterr().err
    assert "b.mp4: not a video" in told
    assert "000.png: one picture" in told
    assert "notes.txt: neither a picture nor a video" in told
    assert {path.name for path in out.glob("*.mp4")} == {"a_retimed.mp4", "c_retimed.mp4"}


def test_a_folder_of_two_pictures_obeys_the_multiple_and_none_a_rate(tmp_path):
    pair = write_frames(tmp_path / "clip", [10, 20], (32, 32))
    task = demo_task(**{"task.predict.multiple": 4})
    written = {path.name for path in task.predict_files(tiny_variables(), pair, tmp_path)}
    assert {f"000_001_t{t}.png" for t in ("0.250", "0.500", "0.750")} <= written
    with pytest.raises(InputError, match=r"clip: pictures have no times to meet task.predict.rate"):
        demo_task(**{"task.predict.rate": 60.0}).predict_files(tiny_variables(), pair, tmp_path)


def test_a_folder_is_retimed_in_the_order_of_its_numbers(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    for number in (1, 2, 10):
        Image.fromarray(flat(10 * number, (32, 32))).save(folder / f"frame{number}.png")
    demo_task().predict_files(tiny_variables(), sorted(folder.iterdir()), tmp_path / "out")
    given = [tmp_path / "out" / "clip" / f"{place:08d}.png" for place in (0, 2, 4)]
    assert [int(np.asarray(Image.open(path))[0, 0, 0]) for path in given] == [10, 20, 100]
    report = json.loads((tmp_path / "out" / "clip" / "report.json").read_text())
    assert report["sequence"] == "frame1.png .. frame10.png (3 files)"
    assert report["notes"] == ["7 missing between frame2.png and frame10.png"]
