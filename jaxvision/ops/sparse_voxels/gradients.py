"""The gradient rule of sparse convolution by kernels, and how they meet a mesh."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.ops.dispatch import over_batch
from jaxvision.ops.sparse_voxels.kernel_map import KernelMap


def differentiable(
    accumulate: Callable[..., Array], by_weights: Callable[..., Array]
) -> Callable[..., Float[Array, "s o d"]]:
    """convolve(features, weights, neighbours, interpret=False): see `reference.convolve`.

    accumulate(features, rows, weights, run, interpret): sum_k features[rows[k]] @ weights[k]; over
        the reverse map it is the backward by the features.
    by_weights(features, rows, cotangent, run, interpret): the gradient by the weights, float32.
    run: taps of a column (`KernelMap.run`).
    interpret: run the kernels step by step, on any device.
    """

    @functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
    def convolve(
        features: Array, weights: Array, neighbours: KernelMap, interpret: Any = False
    ) -> Array:
        def local(features: Array, rows: Array, weights: Array) -> Array:
            return accumulate(features, rows, weights, neighbours.run, interpret)

        return over_batch(local, features, neighbours.inputs, whole=(weights,))

    def residuals(features: Array, weights: Array, neighbours: KernelMap, interpret: Any):
        return convolve(features, weights, neighbours, interpret), (features, weights, neighbours)

    def backward(interpret: Any, kept: tuple[Array, Array, KernelMap], cotangent: Array):
        features, weights, neighbours = kept
        run = neighbours.run

        def local(cotangent, features, inputs, outputs, weights):
            cotangent = cotangent.astype(features.dtype)
            by_features = accumulate(
                cotangent, outputs, jnp.swapaxes(weights, 1, 2), run, interpret
            )
            # Each device's sum on an axis of its own: the one all-reduce comes after.
            return by_features, by_weights(features, inputs, cotangent, run, interpret)[None]

        of_features, of_weights = over_batch(
            local, cotangent, features, neighbours.inputs, neighbours.outputs, whole=(weights,)
        )
        return of_features, jnp.sum(of_weights, axis=0).astype(weights.dtype), None

    convolve.defvjp(residuals, backward)
    return convolve
