"""Answers ranked, and captions chosen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.errors import InputError
from jaxvision.methods.umt.language import answers

RNG = np.random.default_rng(0)


def test_every_word_is_asked_for_by_the_one_before_it():
    ids, mask = np.array([[2, 7, 3, 0], [2, 8, 9, 3]]), np.array([[1, 1, 1, 0], [1] * 4], bool)
    got = answers.next_words(ids, mask)
    np.testing.assert_array_equal(got, [[7, 3, -100, -100], [8, 9, 3, -100]])


def test_a_loss_is_a_sum_over_words():
    ids, mask = np.array([[2, 1, 3, 0]]), np.array([[True, True, True, False]])
    logits = RNG.standard_normal((1, 4, 5)).astype(np.float32)
    log_p = np.asarray(jax.nn.log_softmax(logits))
    got = answers.answer_losses(logits, ids, mask)
    np.testing.assert_allclose(got, [-log_p[0, 0, 1] - log_p[0, 1, 3]], rtol=1e-5)


def test_likely_first_words_make_candidates():
    first = jnp.log(jnp.array([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3]]))
    candidates = np.array([[2, 0], [2, 1], [2, 2]])
    p, numbers = answers.likely_candidates(first, candidates, 2)
    np.testing.assert_array_equal(numbers, [[1, 2], [0, 2]])
    np.testing.assert_allclose(p, [[0.6, 0.3], [0.5, 0.3]], rtol=1e-5)
    with pytest.raises(InputError, match="3 answers to rank: expected at least 4"):
        answers.likely_candidates(first, candidates, 4)


def test_the_first_word_counts_twice():
    first, losses = jnp.array([[0.5, 0.25]]), jnp.array([[2.0, 1.0]])
    p, numbers = answers.ranked_answers(first, losses, jnp.array([[7, 9]]))
    weights = np.array([0.25 * np.exp(-1.0), 0.5 * np.exp(-2.0)])
    np.testing.assert_array_equal(numbers, [[9, 7]])
    np.testing.assert_allclose(p[0], weights / weights.sum(), rtol=1e-5)


def test_choices_weigh_matching_and_contrast():
    similarity = jnp.array([[0.2, 0.1]])
    matching = jnp.array([[[0.0, 0.0], [0.0, 50.0]]])
    contrast, score = answers.multiple_choice_scores(similarity, matching, 0.1)
    share = 1 / (1 + np.exp(-1))
    np.testing.assert_allclose(contrast, [[share, 1 - share]], rtol=1e-5)
    np.testing.assert_allclose(score, [[0.35 + 0.3 * share, 0.7 + 0.3 * (1 - share)]], rtol=1e-5)
