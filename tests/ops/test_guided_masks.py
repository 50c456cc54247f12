"""Masks guided by attention: drawn without replacement, in proportion, in log space."""

import numpy as np
import pytest

from jaxvision.ops import token_masks


def noise_of(shape, seed=0):
    uniform = np.random.default_rng(seed).uniform(1e-6, 1, shape).astype(np.float32)
    return token_masks.gumbel(uniform), uniform


def test_counts_of_the_published_ratios():
    assert token_masks.visible_per_frame(196, 0.8) == 40
    assert token_masks.visible_per_frame(196, 0.5) == 98


def test_the_order_is_that_of_the_exponential_race():
    attention = np.random.default_rng(1).dirichlet(np.ones(16), 6).astype(np.float32)
    noise, uniform = noise_of((6, 16))
    race = np.argsort(-attention / -np.log(uniform.astype(float)), axis=-1)
    got = token_masks.guided_places(attention, noise, 5)
    np.testing.assert_array_equal(got, np.sort(race[:, :5], axis=-1))


def test_first_draws_are_in_proportion_to_the_attention():
    attention = np.array([0.5, 0.3, 0.15, 0.05], np.float32)
    noise, _ = noise_of((20_000, 4))
    first = np.asarray(token_masks.guided_places(np.tile(attention, (20_000, 1)), noise, 1))[:, 0]
    np.testing.assert_allclose(np.bincount(first) / len(first), attention, atol=0.015)


def test_places_without_attention_come_last():
    attention = np.array([[0.0, 0.5, 0.0, 0.5]], np.float32)
    noise, _ = noise_of((1, 4))
    np.testing.assert_array_equal(token_masks.guided_places(attention, noise, 2), [[1, 3]])
    assert token_masks.guided_places(attention, noise, 3).shape == (1, 3)


@pytest.mark.parametrize("frames", [1, 3])
def test_tokens_of_places(frames):
    places = np.array([[0, 2], [1, 3], [2, 3], [0, 1], [0, 3], [1, 2]], np.int32)
    got = np.asarray(token_masks.tokens_of_places(places, frames, 4))
    assert got.shape == (6 // frames, 2 * frames)
    if frames == 3:
        np.testing.assert_array_equal(got[1], [0, 1, 4, 7, 9, 10])
