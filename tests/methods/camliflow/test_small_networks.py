"""What lets a small CamLiRAFT learn in minutes from chance."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxvision.methods.camliflow.encoders import ResNetEncoder
from jaxvision.methods.camliflow.task import amplified
from jaxvision.methods.camliflow.update_blocks import centred
from jaxvision.ops.correlation_lookup import correlation_pyramid
from jaxvision.weights.mapping import flatten

RNG = np.random.default_rng(0)


def test_centred_features_have_one_length_and_no_mean():
    first, second = RNG.normal(size=(2, 3, 4, 5, 16)).astype(np.float32)
    expected = centred(first, second)
    moved = centred(first + 7, second + 7)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), expected, moved)
    (volume,) = correlation_pyramid(expected[0], expected[0], 1, "volume").levels
    volume = np.asarray(volume).reshape(3, 20, 20)
    np.testing.assert_allclose(np.diagonal(volume, axis1=1, axis2=2), 4, rtol=1e-5)
    assert np.abs(volume).max() < 4 + 1e-4


def test_a_gain_is_for_kernels_that_lose_variance_and_neither_for_resnets_nor_heads():
    ones = {"kernel": np.ones((2, 2)), "bias": np.ones(2)}
    params = {
        "image": {"gru": ones, "flow_head": {"first": ones, "second": ones}},
        "image_features": {"stem": {"conv": ones}, "stages_0_0": ones, "align": ones},
        "points": {"flow_head": {"last": ones}},
    }
    found = {
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, leaf in jax.tree_util.tree_leaves_with_path(amplified({"core": params}, 2.0))
        if np.all(leaf == 2)
    }
    kept = ("image/gru", "image/flow_head/first", "image_features/align")
    assert found == {f"core/{name}/kernel" for name in kept}


def test_norms_of_resnets_learn_where_they_are_asked_to():
    encoder = ResNetEncoder(4, ((1, 2), (1, 4)))
    image = jnp.asarray(RNG.normal(size=(2, 16, 16, 3)), jnp.float32)
    variables = nn.unbox(encoder.init(jax.random.key(0), image))

    @jax.jit
    def statistics(variables):
        calls = (encoder.apply(variables, image, kept, mutable="batch_stats") for kept in (0, 1))
        return [flatten(state) for _, state in calls]

    learning, kept = statistics(variables)
    before = flatten({"batch_stats": variables["batch_stats"]})
    assert all(np.array_equal(kept[path], x) for path, x in before.items())
    assert not any(np.array_equal(learning[path], x) for path, x in before.items())
