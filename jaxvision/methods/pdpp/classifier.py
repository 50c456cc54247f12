"""The task classifier: start and goal observations -> logits of the task (section 3.4)."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.nn.linear import linear


class TaskClassifier(nn.Module):
    """The published MLP: O -> O/3 -> 4 O -> O/3, mean over the observations, -> classes.

    There is no activation between the first two layers, as published.
    """

    classes: int
    observation: int
    dtype: jnp.dtype = jnp.float32

    @property
    def hidden(self) -> tuple[int, int, int]:
        narrow = self.observation // 3
        return narrow, 4 * self.observation, narrow

    @nn.compact
    def __call__(self, observations: Float[Array, "b n o"]) -> Float[Array, "b k"]:
        """Logits, float32. observations: start and goal, raw features."""

        he = nn.initializers.variance_scaling(2.0, "fan_in", "normal")

        def dense(features: int, name: str) -> nn.Module:
            return linear(features, ("embed", "mlp"), dtype=self.dtype, kernel=he, name=name)

        first, wide, last = self.hidden
        x = dense(first, "fc1")(observations)
        x = jax.nn.relu(dense(wide, "fc2")(x))
        x = jax.nn.relu(dense(last, "fc3")(x))
        return dense(self.classes, "fc4")(jnp.mean(x, axis=1)).astype(jnp.float32)
