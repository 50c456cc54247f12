"""Random draws that do not depend on the mesh or the batch size."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, Shaped


def sample_keys(rng: PRNGKeyArray, batch: Mapping[str, Array]) -> Shaped[PRNGKeyArray, " b"]:
    """One key per sample: by the record's `index` in evaluations, by its place in training."""
    if "index" in batch:
        numbers = batch["index"]
    else:
        numbers = jnp.arange(jax.tree.leaves(dict(batch))[0].shape[0])
    return jax.vmap(lambda number: jax.random.fold_in(rng, number))(numbers)
