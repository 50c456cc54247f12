"""Focal losses: what they become at gamma 0, and at logits that overflow an exponential."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.ops.focal_loss import sigmoid_focal_loss, softmax_focal_loss

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 3, (5, 4)).astype(np.float32)
TARGETS = RNG.integers(0, 2, (5, 4)).astype(np.float32)
LABELS = np.array([0, 1, 2, 3, 1])


def test_gamma_0_is_cross_entropy_and_gamma_lowers_what_is_right():
    log_p = jax.nn.log_softmax(LOGITS)[np.arange(5), LABELS]
    np.testing.assert_allclose(softmax_focal_loss(LOGITS, LABELS, 0.0), -log_p, rtol=1e-5)
    focal = softmax_focal_loss(LOGITS, LABELS, 2.0)
    np.testing.assert_allclose(focal, -((1 - np.exp(log_p)) ** 2) * log_p, rtol=1e-4, atol=1e-7)
    p = 1 / (1 + np.exp(-LOGITS))
    p = np.where(TARGETS > 0, p, 1 - p)
    weight = np.where(TARGETS > 0, 0.25, 0.75)
    got = sigmoid_focal_loss(LOGITS, TARGETS, 1.5, 0.25)
    np.testing.assert_allclose(got, -weight * (1 - p) ** 1.5 * np.log(p), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_logits_of_any_size_give_finite_gradients(gamma):
    logits = jnp.array([[-1e4, 0.0, 1e4], [1e4, -1e4, 0.0]])
    sigmoid = jax.grad(lambda x: jnp.sum(sigmoid_focal_loss(x, jnp.ones((2, 3)), gamma)))(logits)
    softmax = jax.grad(lambda x: jnp.sum(softmax_focal_loss(x, jnp.array([2, 2]), gamma)))(logits)
    assert np.isfinite(sigmoid).all()
    assert np.isfinite(softmax).all()
    # The wrong sample is pulled with full force, the right one not at all.
    np.testing.assert_allclose(softmax[:, 2], [0, -1 if gamma == 0 else softmax[1, 2]], atol=1e-6)
    assert softmax[1, 2] < -0.9
