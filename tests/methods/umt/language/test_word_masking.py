"""Hidden words: shares, what is spared, and the loss on them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.methods.umt.language.word_masking import (
    WordMasking,
    draw_words,
    mask_words,
    masked_word_loss,
)

RULE = WordMasking(rate=0.5, padding=0, begin=2, mask=4, vocabulary=1000)


@pytest.fixture(scope="module")
def many():
    """(ids, corrupted ids, labels) of many texts."""
    ids = np.random.default_rng(0).integers(5, 1000, (400, 50))
    ids[:, 0], ids[:, 40:] = 2, 0
    draws = draw_words(jax.random.key(0), ids.shape, RULE.vocabulary)
    return ids, *map(np.asarray, mask_words(ids, RULE, draws))


def test_class_tokens_and_padding_are_spared(many):
    ids, corrupted, labels = many
    assert (labels[:, 0] == -100).all()
    assert (labels[:, 40:] == -100).all()
    np.testing.assert_array_equal(corrupted[labels == -100], ids[labels == -100])


def test_half_is_asked_for_and_of_it_four_fifths_hidden(many):
    ids, corrupted, labels = many
    asked = labels != -100
    np.testing.assert_array_equal(labels[asked], ids[asked])
    assert asked[:, 1:40].mean() == pytest.approx(0.5, abs=0.02)
    assert (corrupted[asked] == 4).mean() == pytest.approx(0.8, abs=0.02)
    assert (corrupted[asked] == ids[asked]).mean() == pytest.approx(0.1, abs=0.02)


def test_separators_and_unknown_words_can_be_asked_for():
    ids = np.full((1, 200), 3)
    _, labels = mask_words(ids, RULE, draw_words(jax.random.key(0), ids.shape, 1000))
    assert (np.asarray(labels) == 3).any()


def test_the_loss_is_a_mean_over_the_words_asked_for():
    logits = jnp.asarray(np.random.default_rng(1).standard_normal((2, 3, 7)))
    labels = np.array([[-100, 2, -100], [6, -100, -100]])
    log_p = np.asarray(jax.nn.log_softmax(logits))
    wanted = -(log_p[0, 1, 2] + log_p[1, 0, 6]) / 2
    assert float(masked_word_loss(logits, labels)) == pytest.approx(float(wanted), rel=1e-5)
    assert float(masked_word_loss(logits, np.full((2, 3), -100))) == 0
