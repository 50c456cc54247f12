"""The gradient rule of the maximum by kernels, and how they meet a mesh."""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, Float, Int

from jaxvision.ops.dispatch import over_batch

Kernel = Callable[..., Any]


def differentiable(
    forward: Kernel, by_weights: Kernel, by_features: Kernel
) -> Callable[..., Float[Array, "b m c"]]:
    """weighted_maximum(features, weights, neighbours, interpret=False): see
    `depthwise_point_convolution`.

    forward(features, weights, neighbours, interpret): the maximum, and which neighbour has it.
    by_weights(features, neighbours, place, cotangent, interpret),
    by_features(weights, neighbours, place, cotangent, n, interpret): both gradients, in float32.
    interpret: run the kernels step by step, on any device.
    """

    @functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
    def weighted_maximum(
        features: Float[Array, "b n c"],
        weights: Float[Array, "b m k c"],
        neighbours: Int[Array, "b m k"],
        interpret: Any = False,
    ) -> Float[Array, "b m c"]:
        return both(features, weights, neighbours, interpret)[0]

    def both(features: Array, weights: Array, neighbours: Array, interpret: Any) -> Any:
        return over_batch(lambda *of: forward(*of, interpret), features, weights, neighbours)

    def residuals(features: Array, weights: Array, neighbours: Array, interpret: Any):
        most, place = both(features, weights, neighbours, interpret)
        return most, (features, weights, neighbours, place)

    def backward(
        interpret: Any, kept: tuple[Array, Array, Array, Array], cotangent: Array
    ) -> tuple[Array, Array, None]:
        features, weights = kept[:2]

        def local(features, weights, neighbours, place, cotangent):
            of_features = by_features(
                weights, neighbours, place, cotangent, features.shape[1], interpret
            )
            return of_features, by_weights(features, neighbours, place, cotangent, interpret)

        # Outside the derivative of a shard_map, which would sum over axes that hold copies.
        of_features, of_weights = over_batch(local, *kept, cotangent)
        return of_features.astype(features.dtype), of_weights.astype(weights.dtype), None

    weighted_maximum.defvjp(residuals, backward)
    return weighted_maximum
