"""Samplers: one scan, the published step sequence, no host in between."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.errors import InputError
from jaxvision.methods.pdpp.diffusion import cosine_schedule, ddim_sequence, reverse
from jaxvision.methods.pdpp.planner import Sampler


def test_the_last_step_returns_the_prediction():
    """At the end of a chain the state is what the network says, exactly (DDIM) or nearly (DDPM)."""
    said = jnp.full((1, 3, 4), 2.5)
    for sampler in (Sampler("ddim", 200), Sampler("ddpm", 50)):
        _, coefficients = sampler.reverse_steps()
        final, _ = reverse(
            lambda x, row: said, jnp.ones((1, 3, 4)), coefficients, None, lambda k: jnp.ones(())
        )
        np.testing.assert_allclose(final, said, rtol=1e-4)


def test_ddim_visits_the_published_steps():
    t, coefficients = Sampler("ddim", 200).reverse_steps()
    assert list(t) == list(range(180, -1, -20))
    assert not coefficients.noise.any()
    assert list(ddim_sequence(25)) == list(range(0, 20, 2))


def test_eta_adds_noise_but_not_at_the_end():
    _, coefficients = Sampler("ddim", 200, eta=1.0).reverse_steps()
    assert (coefficients.noise[:-1] > 0).all()
    assert coefficients.noise[-1] == 0


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Sampler("dim"), "did you mean 'ddim'"),
        (lambda: Sampler("ddim", 7).reverse_steps(), "7"),
    ],
)
def test_impossible_samplers_are_refused(make, named):
    with pytest.raises(InputError, match=named):
        make()


def test_the_last_beta_is_clipped():
    assert cosine_schedule(200).betas[-1] == np.float32(0.999)


def test_sampling_is_one_scan():
    _, coefficients = Sampler("ddim", 50).reverse_steps()
    jaxpr = jax.make_jaxpr(
        lambda x: reverse(lambda x, row: 0.5 * x, x, coefficients, None, None)[0]
    )(jnp.zeros((1, 3, 4)))
    scans = [e for e in jaxpr.jaxpr.eqns if e.primitive.name == "scan"]
    assert [scan.params["length"] for scan in scans] == [10]
