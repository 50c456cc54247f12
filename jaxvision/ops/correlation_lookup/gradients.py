"""The gradient rule of windows by kernels, and how they meet a mesh."""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, Float, Int

from jaxvision.ops.dispatch import over_batch

Kernel = Callable[..., Array]


def differentiable(
    forward: Kernel, by_first: Kernel, by_second: Kernel
) -> Callable[..., Float[Array, "b m s s"]]:
    """window_products(first, second, corners, side, interpret=False): see
    `reference.window_products`.

    forward(first, second, corners, side, interpret): the windows.
    by_first, by_second(first, second, corners, cotangent, interpret): both gradients, in float32.
    interpret: run the kernels step by step, on any device.
    """

    @functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
    def window_products(
        first: Float[Array, "b m c"],
        second: Float[Array, "b h w c"],
        corners: Int[Array, "b m 2"],
        side: int,
        interpret: Any = False,
    ) -> Float[Array, "b m s s"]:
        return over_batch(lambda f, s, c: forward(f, s, c, side, interpret), first, second, corners)

    def residuals(first: Array, second: Array, corners: Array, side: int, interpret: Any):
        value = window_products(first, second, corners, side, interpret)
        return value, (first, second, corners)

    def backward(
        side: int, interpret: Any, kept: tuple[Array, Array, Array], cotangent: Array
    ) -> tuple[Array, Array, None]:
        def local(*of: Array) -> tuple[Array, Array]:
            return by_first(*of, interpret), by_second(*of, interpret)

        # Outside the derivative of a shard_map, which would sum over axes that hold copies.
        of_first, of_second = over_batch(local, *kept, cotangent)
        first, second, _ = kept
        return of_first.astype(first.dtype), of_second.astype(second.dtype), None

    window_products.defvjp(residuals, backward)
    return window_products
