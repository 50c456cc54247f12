"""The gradient rule of correlations by kernels, and how they meet a mesh."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvision.ops.dispatch import over_batch

Kernel = Callable[..., Any]


def differentiable(
    forward: Kernel, by_features: Kernel, by_places: Kernel
) -> Callable[..., tuple[Float[Array, "b n k 4"], Int[Array, "b n k"]]]:
    """correlations(first, second, xyz1, xyz2, k, interpret=False): see `reference.correlations`.

    forward(first, second, xyz1, xyz2, k, interpret): correlations and indices.
    by_features(first, second, indices, cotangent, interpret): both features' gradients, in float32.
    by_places(indices, cotangent, m, interpret): the gradient of m places of the second cloud.
    interpret: run the kernels step by step, on any device.

    The gradient takes the indices for what they are; the search is not run again.
    """

    @functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
    def correlations(
        first: Float[Array, "b n c"],
        second: Float[Array, "b m c"],
        xyz1: Float[Array, "b n 3"],
        xyz2: Float[Array, "b m 3"],
        k: int,
        interpret: Any = False,
    ) -> tuple[Float[Array, "b n k 4"], Int[Array, "b n k"]]:
        return over_batch(lambda *of: forward(*of, k, interpret), first, second, xyz1, xyz2)

    def residuals(
        first: Array, second: Array, xyz1: Array, xyz2: Array, k: int, interpret: Any
    ) -> tuple[tuple[Array, Array], tuple[Array, Array, Array]]:
        found = correlations(first, second, xyz1, xyz2, k, interpret)
        return found, (first, second, found[1])

    def backward(
        k: int, interpret: Any, kept: tuple[Array, Array, Array], cotangents: tuple[Array, Any]
    ) -> tuple[Array, ...]:
        (first, second, indices), (cotangent, _) = kept, cotangents
        # Outside the derivative of a shard_map, which would sum over axes that hold copies. Two
        # calls: where places have no gradient to give, the second is not made.
        of_first, of_second = over_batch(
            lambda *of: by_features(*of, interpret), first, second, indices, cotangent
        )
        of_xyz2 = over_batch(
            lambda *of: by_places(*of, second.shape[1], interpret), indices, cotangent
        )
        of_xyz1 = -jnp.sum(cotangent[..., :3], axis=2)
        return of_first.astype(first.dtype), of_second.astype(second.dtype), of_xyz1, of_xyz2

    correlations.defvjp(residuals, backward)
    return correlations
