"""Published detectors: names, sizes, both layouts of sparse kernels, the plain Python face."""

import math

import jax
import numpy as np
import pytest

import jaxvision
from jaxvision.methods.link.detection.weights import SPCONV_1, has_old_kernels
from jaxvision.networks import official_model, recognise
from jaxvision.weights import convert
from jaxvision.weights.checkpoint_file import write_checkpoint
from round_trip import assert_same, official_tensors, round_trip

pytestmark = pytest.mark.xdist_group("link detection")
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
# Parameters of the backbones as published (running statistics do not count).
BACKBONES = {"elkv3": 4_482_752, "baseline": 2_695_312}
NECK, HEAD = 4_576_768, 1_669_510


@pytest.mark.parametrize(("version", "count"), BACKBONES.items())
def test_parameter_counts_are_the_published_ones(version, count):
    entries = official_model(f"link/centerpoint_{version}_nuscenes").entries
    learned = [e for e in entries if not e.name.endswith(BUFFERS) and ".elk.norm" not in e.name]
    for part, wanted in (("backbone", count), ("neck", NECK), ("bbox_head", HEAD)):
        sizes = [math.prod(e.shape) for e in learned if e.name.startswith(part)]
        assert sum(sizes) == wanted, part


@pytest.mark.parametrize("version", ["baseline", "elkv1", "elkv2", "elkv3"])
def test_files_round_trip_and_are_recognised(version, tmp_path):
    full = f"link/centerpoint_{version}_1_2classes_2wide"
    assert round_trip(full, tmp_path) > 0
    assert recognise(official_tensors(official_model(full)), "file").name == full


def test_kernels_of_either_layout_are_told_apart_and_written_back(tmp_path):
    # Three channels in and out: no shape but the flattening layer's tells the layouts apart.
    network = official_model("link/centerpoint_elkv3_waymo_3wide")
    new = official_tensors(network)
    old = SPCONV_1.from_official(new)
    assert has_old_kernels(old)
    assert not has_old_kernels(new)
    write_checkpoint(tmp_path / "old.pth", old, "state_dict")
    converted = convert.from_file(tmp_path / "old.pth", network)
    assert converted.origin.layout == "spconv1"
    convert.to_file(tmp_path / "back.pth", converted, network)
    assert_same(tmp_path / "back.pth", old)
    convert.to_file(tmp_path / "new.pth", converted, network, "official")
    assert_same(tmp_path / "new.pth", new)


def some_points() -> np.ndarray:
    low, high = np.array([-9, -9, -2, 0, 0]), np.array([9, 9, 1, 255, 0.5])
    return (low + (high - low) * np.random.default_rng(0).random((200, 5))).astype(np.float32)


@pytest.mark.parametrize("version", ["baseline", "elkv1", "elkv2", "elkv3"])
def test_every_parameter_has_an_official_name(version):
    network = official_model(f"link/centerpoint_{version}_1_2classes_2wide")
    points = some_points()
    shapes = jax.eval_shape(network.model.init, jax.random.key(0), network.preprocess(points))
    leaves = jax.tree_util.tree_leaves_with_path(
        jax.tree.map(lambda x: 0, shapes, is_leaf=lambda x: hasattr(x, "unbox"))
    )
    paths = {"/".join(key.key for key in path) for path, _ in leaves}
    assert paths == {entry.path for entry in network.entries if entry.path}


def test_a_file_answers_with_boxes(tmp_path):
    name, points = "link/centerpoint_elkv2_1_2classes_2wide", some_points()
    network = official_model(name)
    tensors = official_tensors(network)
    for tensor, array in tensors.items():
        if tensor.endswith("running_var"):
            tensors[tensor] = 1 + array**2
    write_checkpoint(tmp_path / "file.pth", tensors, "state_dict")
    model, variables, preprocess = jaxvision.load(name, weights=tmp_path / "file.pth")
    found = jax.jit(model.apply)(variables, preprocess(points))
    assert found.box.shape == (1, 2 * 83, 9)
    assert np.isfinite(found.score).all()
    assert set(np.asarray(found.label)[np.asarray(found.valid)]) <= {0, 1, 2}
