"""Official files through `jaxvision.load` and back."""

import jax
import numpy as np
import pytest
from PIL import Image

import jaxvision
from jaxvision.cli.main import main
from jaxvision.errors import InputError
from jaxvision.methods.emavfi.pretrained import official_model, preprocess, published
from jaxvision.networks import recognise
from jaxvision.weights.checkpoint_file import read_checkpoint, write_checkpoint


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """A file like a published one: `module.` before every name, a cached mask along."""
    rng = np.random.default_rng(0)
    tensors = {
        entry.name: 0.01 * rng.normal(size=entry.shape).astype(np.float32)
        for entry in official_model("small").entries
    }
    tensors["feature_bone.block4.0.attn_mask"] = np.zeros((4, 49, 49), np.float32)
    path = tmp_path_factory.mktemp("official") / "ours_small.pkl"
    write_checkpoint(path, tensors, prefix="module.")
    return path


def test_files_come_back_byte_for_byte(official, tmp_path, capsys):
    assert main(["convert", "emavfi/small", str(official), str(tmp_path / "ours")]) == 0
    back = tmp_path / "back.pkl"
    assert main(["convert", "emavfi/small", str(tmp_path / "ours"), str(back)]) == 0
    before, after = read_checkpoint(official), read_checkpoint(back)
    assert list(before.tensors) == list(after.tensors)
    assert before.prefix == after.prefix == "module."
    for name, array in before.tensors.items():
        assert array.tobytes() == after.tensors[name].tobytes(), name


def test_load_answers_a_pair(official, tmp_path):
    model, variables, prepare = jaxvision.load("emavfi/small", weights=official)
    rng = np.random.default_rng(1)
    pair = rng.integers(0, 256, (2, 30, 33, 3), np.uint8)
    inputs = prepare(pair)
    assert inputs.shape == (1, 2, 32, 48, 3)
    frame = jax.jit(model.apply)(variables, inputs, 0.5).frame
    assert frame.shape == (1, 32, 48, 3)
    assert np.isfinite(frame).all()
    for number, picture in enumerate(pair):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    np.testing.assert_array_equal(prepare([tmp_path / "0.png", tmp_path / "1.png"]), inputs)
    np.testing.assert_allclose(inputs[0, 0, 1, 7], pair[0, 0, 0, ::-1] / 255, rtol=1e-6)


def test_a_file_is_recognised_by_its_tensors(official):
    assert recognise(read_checkpoint(official).tensors, "file").name == "emavfi/small"


def test_every_published_file_is_listed():
    assert [row["file"] for row in published()] == [
        "ours_small.pkl",
        "ours.pkl",
        "ours_small_t.pkl",
        "ours_t.pkl",
    ]


def test_bad_input_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such network; did you mean 'small'"):
        official_model("smal")
    with pytest.raises(InputError, match=r"frames of shape \(3, 8, 8, 3\)"):
        preprocess(np.zeros((3, 8, 8, 3), np.uint8))
    for number, side in enumerate((8, 9)):
        Image.new("RGB", (side, 8)).save(tmp_path / f"{number}.png")
    with pytest.raises(InputError, match="frames of 8x8, 9x8: expected two of one size"):
        preprocess([tmp_path / "0.png", tmp_path / "1.png"])
