"""The gradient rule of sampling by kernels, and how they meet a mesh."""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, Float

from jaxvision.ops.dispatch import over_batch

Kernel = Callable[..., Array]


def differentiable(
    forward: Kernel, by_features: Kernel, by_points: Kernel
) -> Callable[..., Float[Array, "x m c"]]:
    """sample_rows(features, where, sizes, interpret=False): see `reference.sample_rows`.

    forward(features, where, sizes, interpret): the result.
    by_features, by_points(features, where, cotangent, sizes, interpret): both gradients.
    interpret: run the kernels step by step, on any device.
    """

    @functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
    def sample_rows(
        features: Float[Array, "x rows c"],
        where: Float[Array, "x m d"],
        sizes: tuple[int, ...],
        interpret: Any = False,
    ) -> Float[Array, "x m c"]:
        return over_batch(lambda f, w: forward(f, w, sizes, interpret), features, where)

    def residuals(features: Array, where: Array, sizes: tuple[int, ...], interpret: Any):
        return sample_rows(features, where, sizes, interpret), (features, where)

    def backward(
        sizes: tuple[int, ...], interpret: Any, kept: tuple[Array, Array], cotangent: Array
    ):
        def local(*of: Array) -> tuple[Array, Array]:
            return by_features(*of, sizes, interpret), by_points(*of, sizes, interpret)

        # Outside the derivative of a shard_map, which would sum over axes that hold copies.
        return over_batch(local, *kept, cotangent)

    sample_rows.defvjp(residuals, backward)
    return sample_rows
