"""Sparse convolution in plain JAX: the definition of right for the kernels beside it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvision.ops.sparse_voxels.kernel_map import KernelMap


def gather_rows(
    features: Float[Array, "s v c"], rows: Int[Array, "s *n"]
) -> Float[Array, "s *n c"]:
    """features[rows] per shard; a row outside [0, v) reads zeros."""
    return jax.vmap(lambda f, r: f.at[r].get(mode="fill", fill_value=0))(features, rows)


def _accumulate(
    features: Float[Array, "s i c"], rows: Int[Array, "s k o"], weights: Float[Array, "k c d"]
) -> Float[Array, "s o d"]:
    """sum_k features[rows[k]] @ weights[k], one kernel index at a time, summed in float32.

    The product comes before the gather, which then needs no copy beside the sum, unless few of the
    rows are read.
    """
    shards, _, outputs = rows.shape
    product_first = features.shape[1] <= 2 * outputs

    def product(rows: Array, weight: Array) -> Array:
        return jnp.einsum("soc,cd->sod", rows, weight, preferred_element_type=jnp.float32)

    def add(total: Array, step: tuple[Array, Array]) -> tuple[Array, None]:
        read, weight = step
        if product_first:
            return total + gather_rows(product(features, weight), read), None
        return total + product(gather_rows(features, read), weight), None

    start = jnp.zeros((shards, outputs, weights.shape[2]), jnp.float32)
    total, _ = jax.lax.scan(add, start, (jnp.moveaxis(rows, 1, 0), weights))
    return total.astype(features.dtype)


@jax.custom_vjp
def convolve(
    features: Float[Array, "s i c"], weights: Float[Array, "k c d"], neighbours: KernelMap
) -> Float[Array, "s o d"]:
    """See `sparse_convolution`. Both gradients gather, so they are the same bits in every run."""
    return _accumulate(features, neighbours.inputs, weights)


def _forward(features: Array, weights: Array, neighbours: KernelMap) -> tuple[Array, tuple]:
    return _accumulate(features, neighbours.inputs, weights), (features, weights, neighbours)


def _backward(saved: tuple, cotangent: Array) -> tuple[Array, Array, None]:
    features, weights, neighbours = saved
    of_features = _accumulate(cotangent, neighbours.outputs, jnp.swapaxes(weights, 1, 2))

    def one(read: Array) -> Array:
        return jnp.einsum(
            "soc,sod->cd",
            gather_rows(features, read),
            cotangent,
            preferred_element_type=jnp.float32,
        )

    of_weights = jax.lax.map(one, jnp.moveaxis(neighbours.inputs, 1, 0))
    return of_features.astype(features.dtype), of_weights.astype(weights.dtype), None


convolve.defvjp(_forward, _backward)
