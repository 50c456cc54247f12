"""Official CoMAE files in and out, for the networks of its three stages."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxvision.errors import InputError
from jaxvision.methods.comae.model import (
    MultiModalAutoencoder,
    PatchContrast,
    PatchGrid,
    SceneClassifier,
)
from jaxvision.methods.comae.pretrained import entries_of
from jaxvision.networks import official_model, recognise
from jaxvision.nn.transformer import BlockConfig
from jaxvision.weights import convert
from jaxvision.weights.checkpoint_file import write_checkpoint
from jaxvision.weights.mapping import flatten, to_variables
from round_trip import assert_same, official_tensors

GRID = PatchGrid(16, 4)
BLOCK = BlockConfig(16, 2, fused_bias=True)
NETWORKS = {
    "contrast": PatchContrast(GRID, BLOCK, 2),
    "autoencoder": MultiModalAutoencoder(GRID, BLOCK, 2, BlockConfig(8, 2, fused_bias=True), 1),
    "mean": SceneClassifier(GRID, BLOCK, 2, 5),
    "class_token": SceneClassifier(GRID, BLOCK, 2, 5, "class_token"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_has_its_tensor(name):
    model = NETWORKS[name]
    picture = jnp.zeros((1, 16, 16, 3))
    kept = (jnp.zeros((1, 4), jnp.int32),) * 2 if name == "autoencoder" else ()
    shapes = jax.eval_shape(model.init, jax.random.key(0), picture, picture, *kept)
    ours = {path: tuple(leaf.shape) for path, leaf in flatten(nn.unbox(shapes)).items()}
    assert convert.our_shapes(entries_of(model)) == ours


@pytest.mark.xdist_group("large")
def test_files_come_back_byte_for_byte(tmp_path):
    for variant in ("small_contrast", "small_autoencoder", "small_sunrgbd"):
        network = official_model(f"comae/{variant}")
        tensors = official_tensors(network)
        write_checkpoint(tmp_path / "official.pth", tensors, "model")
        converted = convert.from_file(tmp_path / "official.pth", network)
        convert.to_file(tmp_path / "back.pth", converted, network)
        assert_same(tmp_path / "back.pth", tensors)
        assert recognise(tensors, "file").name == f"comae/{variant}"


@pytest.mark.parametrize(
    ("tensor", "shape", "wanted"),
    [("pos_embed", (1, 26, 16), (1, 17, 16)), ("head.weight", (7, 16), (5, 16))],
)
def test_another_grid_or_number_of_classes_is_refused_by_name(tensor, shape, wanted):
    entries = entries_of(NETWORKS["mean"])
    tensors = {entry.name: np.zeros(entry.shape, np.float32) for entry in entries}
    tensors[tensor] = np.zeros(shape, np.float32)
    message = f"1 of another shape: {tensor} {shape} for {wanted}"
    with pytest.raises(InputError, match=re.escape(message)):
        to_variables(tensors, entries, "theirs.pth")


def test_variants_by_name():
    assert official_model("comae/base_nyud").model.classes == 10
    assert official_model("comae/small_12classes").model.classes == 12
    with pytest.raises(InputError, match="did you mean 'base_sunrgbd'"):
        official_model("comae/base_sunrgb")
    head = np.zeros((12, 384))
    tensors = {
        "patch_embed2.proj.weight": np.zeros((384, 3, 16, 16)),
        "head.bias": head[:, 0],
        "fc_norm.weight": head[0],
    }
    assert recognise(tensors, "file").name == "comae/small_12classes"
