"""Contrast and negatives against what they should be by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.errors import InputError
from jaxvision.methods.umt.language import contrast

RNG = np.random.default_rng(0)
VISION = RNG.standard_normal((6, 2, 5)).astype(np.float32)
TEXT = RNG.standard_normal((6, 5)).astype(np.float32)
INDEX = np.array([0, 1, 1, 2, 3, 3])
SAME = INDEX[:, None] == INDEX


def logits_of(vision, text, temperature=0.1):
    return contrast.similarities(vision, text) / temperature


def test_pairs_of_ones_own_are_the_diagonal_of_all():
    whole = contrast.similarities(VISION, TEXT)
    own = contrast.pair_similarities(VISION, jnp.stack([TEXT, TEXT[::-1]], axis=1))
    np.testing.assert_allclose(own[:, 0], jnp.diagonal(whole), atol=1e-6)
    np.testing.assert_allclose(own[:, 1], jnp.diagonal(whole[:, ::-1]), atol=1e-6)


def test_towers_get_their_part_of_the_gradient_and_the_temperature_all():
    def loss(vision, temperature, groups):
        vision = contrast.part_of_gradient(vision, groups)
        return contrast.contrastive_loss(logits_of(vision, TEXT, temperature), SAME)

    gradient = jax.jit(jax.grad(loss, (0, 1)), static_argnums=2)
    (whole, by_temperature), (part, again) = (gradient(VISION, 0.1, g) for g in (1, 4))
    np.testing.assert_allclose(part, whole / 4, rtol=1e-5)
    np.testing.assert_allclose(again, by_temperature, rtol=1e-6)
    assert loss(VISION, 0.1, 4) == pytest.approx(float(loss(VISION, 0.1, 1)), rel=1e-6)


def test_weights_stay_in_the_group_and_off_the_own_video():
    weights = contrast.negative_weights(logits_of(VISION, TEXT), SAME, groups=2)
    group = np.arange(6) // 3
    allowed = (group[:, None] == group) & ~SAME
    assert (np.asarray(weights) > 0).tolist() == allowed.tolist()
    alone = contrast.negative_weights(logits_of(VISION[:3], TEXT[:3]), SAME[:3, :3])
    np.testing.assert_allclose(weights[:3, :3], alone, rtol=1e-5)


def test_negatives_are_drawn_by_their_weights():
    weights = contrast.negative_weights(logits_of(VISION, TEXT, 1.0), SAME)
    keys = jax.random.split(jax.random.key(0), 4000)
    drawn = np.asarray(jax.vmap(lambda key: contrast.draw_negatives(key, weights))(keys))
    for row in range(6):
        share = np.bincount(drawn[:, row], minlength=6) / len(keys)
        wanted = np.asarray(weights[row] / weights[row].sum())
        np.testing.assert_allclose(share, wanted, atol=0.04)


def test_a_group_of_one_video_alone_draws_another_of_its_samples():
    same = np.ones((4, 4), bool)
    weights = contrast.negative_weights(jnp.zeros((4, 4)), same, groups=2)
    drawn = contrast.draw_negatives(jax.random.key(1), weights, groups=2)
    np.testing.assert_array_equal(drawn, [1, 0, 3, 2])


@pytest.mark.parametrize("groups", [6, 4])
def test_groups_of_one_or_that_do_not_divide(groups):
    with pytest.raises(InputError, match=f"train.draw_groups={groups} of a batch of 6"):
        contrast.negative_weights(logits_of(VISION, TEXT), SAME, groups)


def test_matching_is_a_cross_entropy_over_all_pairs():
    true, false = RNG.standard_normal((2, 2)), RNG.standard_normal((4, 2))
    wanted = [np.log(np.exp(row).sum()) - row[1] for row in true]
    wanted += [np.log(np.exp(row).sum()) - row[0] for row in false]
    got = contrast.matching_loss(jnp.asarray(true), jnp.asarray(false))
    assert float(got) == pytest.approx(np.mean(wanted), rel=1e-5)
