"""Windows of correlations on NVIDIA GPUs: masked gathers of whole rows, from the cache.

Forward and the gradient by the first map: grid (samples, blocks of 32 pixels). A program keeps its
pixels' features (or their gradient), [32, c], in registers, c padded to a power of two, and runs
over the places of the windows one after the other: a row of the second map for each pixel, and one
sum over channels (or a weighted addition). Windows of neighbours overlap, so that most rows come
from the cache.

The gradient by the second map: grid (samples, blocks of 32 of its pixels). Each program owns its
pixels and runs over all pixels of the first map, 32 at a time, passing over blocks whose windows
miss it; what is left is a product [32, 32] x [32, c]. No atomic additions: the same bits each run.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float

from jaxvision.ops.correlation_lookup.gradients import differentiable
from jaxvision.ops.triton_backend import plgpu

PIXEL_BLOCK = 32
READ_BLOCK = 32
# [32, channels] of both maps stay in a program's registers.
MOST_CHANNELS = 256


def _forward(first: Array, second: Array, corners: Array, side: int, interpret: Any) -> Array:
    b, m, c = first.shape
    height, width = second.shape[1:3]

    def kernel(first_ref, second_ref, corners_ref, out_ref):
        sample, pixel, real, column, mask = _block(m, c)
        mine = plgpu.load(first_ref.at[sample, pixel[:, None], column[None, :]], mask=mask, other=0)
        mine = mine.astype(jnp.float32)
        x, y = (plgpu.load(corners_ref.at[sample, pixel, i], mask=real, other=0) for i in (0, 1))

        def one(step: Array, _: None) -> None:
            row, inside = _place(*_window_pixel(x, y, step, side), height, width)
            theirs = plgpu.load(
                second_ref.at[sample, row[:, None], column[None, :]],
                mask=mask & inside[:, None],
                other=0,
            )
            value = jnp.sum(mine * theirs.astype(jnp.float32), axis=1)
            plgpu.store(out_ref.at[sample, pixel, step], value, mask=real)

        jax.lax.fori_loop(0, side * side, one, None)

    windows = pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((b, m, side * side), jnp.float32),
        grid=(b, pl.cdiv(m, PIXEL_BLOCK)),
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=2),
        cost_estimate=_cost(first, second, side),
        interpret=interpret,
    )(first, second.reshape(b, height * width, c), corners)
    return windows.reshape(b, m, side, side)


def _by_first(
    first: Array, second: Array, corners: Array, cotangent: Array, interpret: Any
) -> Float[Array, "b m c"]:
    b, m, c = first.shape
    (height, width), side = second.shape[1:3], cotangent.shape[-1]

    def kernel(second_ref, corners_ref, cotangent_ref, out_ref):
        sample, pixel, real, column, mask = _block(m, c)
        x, y = (plgpu.load(corners_ref.at[sample, pixel, i], mask=real, other=0) for i in (0, 1))

        def add(step: Array, total: Array) -> Array:
            row, inside = _place(*_window_pixel(x, y, step, side), height, width)
            theirs = plgpu.load(
                second_ref.at[sample, row[:, None], column[None, :]],
                mask=mask & inside[:, None],
                other=0,
            )
            given = plgpu.load(cotangent_ref.at[sample, pixel, step], mask=real, other=0)
            return total + given[:, None] * theirs.astype(jnp.float32)

        start = jnp.zeros(mask.shape, jnp.float32)
        total = jax.lax.fori_loop(0, side * side, add, start)
        plgpu.store(out_ref.at[sample, pixel[:, None], column[None, :]], total, mask=mask)

    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((b, m, c), jnp.float32),
        grid=(b, pl.cdiv(m, PIXEL_BLOCK)),
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=2),
        cost_estimate=_cost(first, second, side),
        interpret=interpret,
    )(second.reshape(b, height * width, c), corners, cotangent.reshape(b, m, side * side))


def _by_second(
    first: Array, second: Array, corners: Array, cotangent: Array, interpret: Any
) -> Float[Array, "b h w c"]:
    b, m, c = first.shape
    (height, width), side = second.shape[1:3], cotangent.shape[-1]
    rows = height * width

    def kernel(first_ref, corners_ref, cotangent_ref, out_ref):
        sample, row, owned, column, mask = _block(rows, c)
        across, down = jax.lax.rem(row, width), jax.lax.div(row, width)

        def add(block: Array, total: Array) -> Array:
            pixel = block * READ_BLOCK + jnp.arange(READ_BLOCK)
            real = pixel < m
            x, y = (
                plgpu.load(corners_ref.at[sample, pixel, i], mask=real, other=0) for i in (0, 1)
            )
            right, below = across[:, None] - x[None, :], down[:, None] - y[None, :]
            inside = (right >= 0) & (right < side) & (below >= 0) & (below < side)
            inside &= owned[:, None] & real[None, :]

            def touched(total: Array) -> Array:
                place = jnp.where(inside, right * side + below, 0)
                given = plgpu.load(
                    cotangent_ref.at[sample, jnp.broadcast_to(pixel[None, :], place.shape), place],
                    mask=inside,
                    other=0,
                )
                theirs = plgpu.load(
                    first_ref.at[sample, pixel[:, None], column[None, :]],
                    mask=real[:, None] & (column < c)[None, :],
                    other=0,
                ).astype(jnp.float32)
                return total + plgpu.dot(given, theirs, precision=jax.lax.Precision.HIGHEST)

            # Once or not at all.
            turns = jnp.max(inside.astype(jnp.int32))
            return jax.lax.fori_loop(0, turns, lambda _, sum_: touched(sum_), total)

        start = jnp.zeros(mask.shape, jnp.float32)
        total = jax.lax.fori_loop(0, pl.cdiv(m, READ_BLOCK), add, start)
        plgpu.store(out_ref.at[sample, row[:, None], column[None, :]], total, mask=mask)

    of_second = pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((b, rows, c), jnp.float32),
        grid=(b, pl.cdiv(rows, PIXEL_BLOCK)),
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=2),
        cost_estimate=_cost(first, second, side),
        interpret=interpret,
    )(first, corners, cotangent.reshape(b, m, side * side))
    return of_second.reshape(second.shape)


def _block(count: int, channels: int) -> tuple[Array, Array, Array, Array, Array]:
    """(sample, pixels, which are real, columns, which of both are) of this program."""
    pixel = pl.program_id(1) * PIXEL_BLOCK + jnp.arange(PIXEL_BLOCK)
    column, real = jnp.arange(pl.next_power_of_2(channels)), pixel < count
    return pl.program_id(0), pixel, real, column, real[:, None] & (column < channels)[None, :]


def _window_pixel(x: Array, y: Array, step: Array, side: int) -> tuple[Array, Array]:
    """The pixel that is `step` places (x slow) into each window. Nothing is negative, so that `lax`
    divides: the signs that `//` and `%` look for are more than Triton's lowering can."""
    return x + jax.lax.div(step, side), y + jax.lax.rem(step, side)


def _place(x: Array, y: Array, height: int, width: int) -> tuple[Array, Array]:
    """(row of the map, whether the pixel is in it)."""
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return jnp.where(inside, y * width + x, 0), inside


def _cost(first: Array, second: Array, side: int) -> pl.CostEstimate:
    b, m, c = first.shape
    return pl.CostEstimate(
        flops=2 * b * m * side * side * c,
        transcendentals=0,
        bytes_accessed=first.nbytes + second.nbytes + 4 * b * m * side * side,
    )


window_products = differentiable(_forward, _by_first, _by_second)
