"""The recurrent unit of pixels, whose context's share is made once, against the published form."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxvision.methods.camliflow.update_blocks import ImageGRU
from jaxvision.nn.convolution import looped_convolution

RNG = np.random.default_rng(0)


def published(gates, hidden, given, motion):
    """One convolution of all three for each gate."""

    def convolved(name, first):
        x = jnp.concatenate([first, given, motion], axis=-1)
        return looped_convolution(x, gates[name]["kernel"]) + gates[name]["bias"]

    for direction in ("rows", "columns"):
        update, reset = (jax.nn.sigmoid(convolved(f"{direction}_{i}", hidden)) for i in (0, 1))
        new = jnp.tanh(convolved(f"{direction}_2", reset * hidden))
        hidden = (1 - update) * hidden + update * new
    return hidden


def test_what_the_context_adds_may_be_made_beforehand():
    maps = [jnp.asarray(RNG.normal(size=(2, 6, 7, 4)), jnp.float32) for _ in range(3)]
    unit = ImageGRU(4)

    def run(unit, hidden, given, motion):
        return unit(hidden, motion, unit.shares(given))

    variables = nn.unbox(nn.init(run, unit)(jax.random.key(0), *maps))
    weights = RNG.normal(size=(2, 6, 7, 4)).astype(np.float32)

    @jax.jit
    def outcomes(params, maps):
        ours = jax.grad(
            lambda *of: jnp.sum(weights * unit.apply({"params": of[0]}, *of[1], method=run)), (0, 1)
        )
        theirs = jax.grad(lambda *of: jnp.sum(weights * published(of[0], *of[1])), (0, 1))
        values = unit.apply({"params": params}, *maps, method=run), published(params, *maps)
        return (values[0], ours(params, maps)), (values[1], theirs(params, maps))

    got, expected = outcomes(variables["params"], maps)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), got, expected)
