"""Predictions and targets paired at the least total cost (DETR 2005.12872, section 3.1)."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from jaxvision.errors import InputError
from jaxvision.ops.dispatch import over_batch

# What stands for a cost that is no number: the search would not end on NaN. Far above any real
# cost, and low enough for float32 to tell real costs apart beside it.
WORST = 1e4


def matched_predictions(
    costs: Float[Array, "b n m"], exists: Bool[Array, "b m"]
) -> Int[Array, "b m"]:
    """The prediction of each target: an exact minimum of the summed cost, no prediction twice.

    exists: which targets are there; columns of the others are padding and get what predictions are
    left. NaN and infinite costs count as `WORST`. No gradient passes. InputError where there are
    more targets than predictions.
    """
    predictions, targets = costs.shape[-2:]
    if targets > predictions:
        raise InputError(
            f"{targets} targets for {predictions} predictions; expected at most one for each"
        )
    if targets == 0:
        return jnp.zeros((costs.shape[0], 0), jnp.int32)
    costs = jax.lax.stop_gradient(costs.astype(jnp.float32))
    costs = jnp.where(jnp.isfinite(costs), jnp.clip(costs, -WORST, WORST), WORST)
    # Padding costs the same everywhere, so it moves no target: there are predictions for all.
    costs = jnp.where(exists[:, None, :], costs, 0)
    # Per device: a loop over samples of several devices would ask all of them at every turn.
    return over_batch(jax.vmap(_columns_rows), costs)


def _columns_rows(costs: Float[Array, "n m"]) -> Int[Array, " m"]:
    rows, columns = optax.assignment.hungarian_algorithm(costs)
    return jnp.zeros(costs.shape[1], jnp.int32).at[columns].set(rows.astype(jnp.int32))
