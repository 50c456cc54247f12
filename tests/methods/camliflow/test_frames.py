"""Both frames in one loop are one call after the other: values, statistics and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxvision.methods.camliflow.frames import each_frame
from jaxvision.methods.camliflow.layers import Unit


class Layers(nn.Module):
    looped: bool

    def setup(self):
        self.unit = Unit(3, norm=True)

    def __call__(self, frames, use_running):
        def call(layers, frame):
            return layers.unit(frame, use_running)

        if self.looped:
            return each_frame(self, call, frames)
        return jnp.stack([call(self, frame) for frame in frames])


def test_norms_see_one_frame_and_then_the_other():
    frames = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 5, 2)), jnp.float32)
    frames = frames.at[1].add(3)
    variables = nn.unbox(Layers(True).init(jax.random.key(0), frames, False))

    def loss(params, looped):
        given = {"params": params, "batch_stats": variables["batch_stats"]}
        out, state = Layers(looped).apply(given, frames, False, mutable=["batch_stats"])
        return jnp.sum(out**3), (out, state)

    run = jax.jit(jax.grad(loss, has_aux=True), static_argnums=1)
    expected, found = (run(variables["params"], looped) for looped in (False, True))
    for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        # A gradient is a sum whose terms are as large as its largest entry.
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6 * float(jnp.abs(a).max()))
    mean = found[1][1]["batch_stats"]["unit"]["norm"]["mean"]
    assert float(jnp.abs(mean).max()) > 0.1
    evaluated = [Layers(looped).apply(variables, frames, True) for looped in (False, True)]
    np.testing.assert_allclose(*evaluated, rtol=1e-6)
