"""Published LinK files: names, sizes, both ways, and the plain Python face."""

import math

import jax
import numpy as np
import pytest

import jaxvision
from jaxvision.networks import official_model, recognise
from jaxvision.weights.checkpoint_file import write_checkpoint
from round_trip import official_tensors, round_trip

# Parameters of the published networks with 20 classes (running statistics do not count).
COUNTS = {
    "linkunet_cos_x_2x3_kitti": 5_747_988,
    "linkunet_cos_3x7_kitti": 5_747_348,
    "linkencoder_cos_x_2x3_kitti": 5_756_908,
    "linkencoder_cos_3x5_kitti": 5_756_268,
    "minkunet_kitti": 4_413_780,
    "linkunet_cos_x_2x3_kitti_40wide": 2_249_460,
    "linkunet_cos_3x7_kitti_32wide": 1_441_108,
}
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_parameter_counts_are_the_published_ones(name, count):
    entries = official_model(f"link/{name}").entries
    learned = [e for e in entries if not e.name.endswith(BUFFERS)]
    assert sum(math.prod(e.shape) for e in learned) == count


@pytest.mark.parametrize("name", ["linkunet_cos_x_2x3", "linkencoder_cos_3x5", "minkunet"])
def test_files_round_trip_and_are_recognised(name, tmp_path):
    full = f"link/{name}_7classes_8wide"
    assert round_trip(full, tmp_path) > 0
    assert recognise(official_tensors(official_model(full)), "file").name == full


def test_every_parameter_of_the_network_has_an_official_name():
    network = official_model("link/linkencoder_cos_3x5_nuscenes_8wide")
    scan = network.preprocess(np.random.default_rng(0).random((50, 4)) * 20)
    shapes = jax.eval_shape(network.model.init, jax.random.key(0), scan)
    paths = {
        "/".join(k.key for k in path)
        for path, _ in jax.tree_util.tree_leaves_with_path(
            jax.tree.map(lambda x: 0, shapes, is_leaf=lambda x: hasattr(x, "unbox"))
        )
    }
    assert paths == {entry.path for entry in network.entries if entry.path}


def test_load_answers_one_row_a_point(tmp_path):
    name = "link/linkunet_cos_3x7_nuscenes_8wide"
    network = official_model(name)
    write_checkpoint(tmp_path / "file.pth", official_tensors(network), "model", prefix="module.")
    model, variables, preprocess = jaxvision.load(name, weights=tmp_path / "file.pth")
    points = np.random.default_rng(0).random((60, 4)).astype(np.float32) * 20
    points[7] = points[3]
    scores = jax.jit(model.apply)(variables, preprocess(points))
    assert scores.shape == (1, 60, 17)
    np.testing.assert_array_equal(scores[0, 7], scores[0, 3])
