"""The state that is denoised, its projection onto what is known, and the loss (sections 3.1-3.3).

One row per planning step: [class | action | observation]. The projection overwrites the class and
observation parts after every change, so only the action part is ever free: samplers and training
carry that part alone, and the whole state is put together where somebody asks for it.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

# Weight of the first and last action in the loss; everything else weighs 1.
END_WEIGHT = 10.0


@dataclass(frozen=True)
class StateLayout:
    """Channels of a state row: tasks, actions, and values of one observation."""

    classes: int
    actions: int
    observation: int

    @property
    def width(self) -> int:
        return self.classes + self.actions + self.observation

    @property
    def class_part(self) -> slice:
        return slice(0, self.classes)

    @property
    def action_part(self) -> slice:
        return slice(self.classes, self.classes + self.actions)

    @property
    def observation_part(self) -> slice:
        return slice(self.classes + self.actions, self.width)


def one_hot(ids: Int[Array, "*b"], size: int) -> Float[Array, "*b {size}"]:
    """0/1 rows, float32 (the papers' clean state is not scaled to -1..1)."""
    return jnp.asarray(ids[..., None] == jnp.arange(size), jnp.float32)


def project(
    x: Float[Array, "b t d"],
    task: Float[Array, "b t k"],
    start: Float[Array, "b o"],
    goal: Float[Array, "b o"],
    layout: StateLayout,
) -> Float[Array, "b t d"]:
    """The projection P: given class on every step; start and goal at the first and last step, zero
    observations between; actions unchanged."""
    return state_of(x[..., layout.action_part], task, start, goal)


def state_of(
    actions: Float[Array, "b t a"],
    task: Float[Array, "b t k"],
    start: Float[Array, "b o"],
    goal: Float[Array, "b o"],
) -> Float[Array, "b t d"]:
    """The projected state whose action part is `actions`."""
    between = jnp.zeros((actions.shape[0], actions.shape[1] - 2, start.shape[-1]), start.dtype)
    observation = jnp.concatenate([start[:, None], between, goal[:, None]], axis=1)
    return jnp.concatenate([task, actions, observation], axis=-1)


def loss_weights(horizon: int, actions: int) -> np.ndarray:
    """[horizon, actions]: END_WEIGHT on the first and last step, 1 between."""
    weights = np.ones((horizon, actions), np.float32)
    weights[[0, -1]] = END_WEIGHT
    return weights


def weighted_squares(
    prediction: Float[Array, "b t a"], target: Float[Array, "b t a"]
) -> Float[Array, " b"]:
    """Weighted squared error of the actions, summed over steps and channels, per plan.

    The loss is the sum over the batch, not a mean: that is the gradient scale Adam's epsilon sees.
    Class and observation channels are projected, so they never err.
    """
    weights = loss_weights(*prediction.shape[1:])
    error = jnp.square(prediction.astype(jnp.float32) - target)
    return jnp.sum(weights * error, axis=(1, 2))


def weighted_mse(
    prediction: Float[Array, "b t d"], target: Float[Array, "b t d"], layout: StateLayout
) -> Float[Array, ""]:
    """The published loss over whole states, class and observation channels included."""
    weights = np.ones(prediction.shape[1:], np.float32)
    weights[:, layout.action_part] = loss_weights(prediction.shape[1], layout.actions)
    return jnp.sum(weights * jnp.square(prediction - target))
