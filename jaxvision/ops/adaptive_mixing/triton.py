"""Adaptive mixing fused on NVIDIA GPUs.

Grid: tokens, one program each. A program loads its token's points [p, c] and its two matrices
[c, c] and [o, p], sides padded with zeros to powers of two of at least 16 (what tensor cores
multiply), and keeps what lies between the two products in registers and shared memory: main memory
is read and written once. The backward pass computes it again.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array

from jaxvision.ops.adaptive_mixing.gradients import cost, differentiable
from jaxvision.ops.adaptive_mixing.token import Sizes, mix_token, mix_token_gradients
from jaxvision.ops.triton_backend import plgpu

# The least side of a matrix that the tensor cores multiply.
LEAST = 16


def _forward(x, channel, point, channel_bias, point_bias, activations, norm_epsilon, interpret):
    n, p, c = x.shape
    o = point.shape[1]

    def kernel(x_ref, channel_ref, point_ref, channel_bias_ref, point_bias_ref, out_ref):
        token = pl.program_id(0)
        mixed = mix_token(
            _load(x_ref, token, p, c),
            _load(channel_ref, token, c, c),
            _load(point_ref, token, o, p),
            _load(channel_bias_ref, 0, 1, c),
            _load(point_bias_ref, 0, o, 1),
            activations,
            norm_epsilon,
            Sizes(p, o, c),
        )
        _store(out_ref, token, o, c, mixed)

    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((n, o, c), x.dtype),
        grid=(n,),
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=1),
        cost_estimate=cost(n, p, c, o, x.dtype.itemsize, 1),
        interpret=interpret,
    )(x, channel, point, *_biases(channel_bias, point_bias))


def _gradients(
    x, channel, point, channel_bias, point_bias, cotangent, activations, norm_epsilon, interpret
):
    """By x, channel, point, and both biases (float32, summed over these tokens)."""
    n, p, c = x.shape
    o = point.shape[1]

    def kernel(x_ref, channel_ref, point_ref, channel_bias_ref, point_bias_ref, given_ref, *out):
        token = pl.program_id(0)
        inputs = (
            _load(x_ref, token, p, c),
            _load(channel_ref, token, c, c),
            _load(point_ref, token, o, p),
            _load(channel_bias_ref, 0, 1, c),
            _load(point_bias_ref, 0, o, 1),
        )

        given = _load(given_ref, token, o, c).astype(jnp.float32)
        grads = mix_token_gradients(*inputs, given, activations, norm_epsilon, Sizes(p, o, c))
        sides = ((p, c), (c, c), (o, p), (1, c), (o, 1))
        for ref, (rows, columns), grad in zip(out, sides, grads, strict=True):
            _store(ref, token, rows, columns, grad)

    by_x, by_channel, by_point, by_channel_bias, by_point_bias = pl.pallas_call(
        kernel,
        out_shape=[
            jax.ShapeDtypeStruct(x.shape, x.dtype),
            jax.ShapeDtypeStruct(channel.shape, channel.dtype),
            jax.ShapeDtypeStruct(point.shape, point.dtype),
            jax.ShapeDtypeStruct((n, 1, c), jnp.float32),
            jax.ShapeDtypeStruct((n, o, 1), jnp.float32),
        ],
        grid=(n,),
        compiler_params=plgpu.CompilerParams(num_warps=8, num_stages=1),
        cost_estimate=cost(n, p, c, o, x.dtype.itemsize, 3),
        interpret=interpret,
    )(x, channel, point, *_biases(channel_bias, point_bias), cotangent)
    # One row per token, summed afterwards in a fixed order: no atomic adds.
    return (
        by_x,
        by_channel,
        by_point,
        jnp.sum(by_channel_bias, axis=(0, 1)),
        jnp.sum(by_point_bias, axis=(0, 2)),
    )


def _biases(channel_bias: Array, point_bias: Array) -> tuple[Array, Array]:
    return (
        channel_bias.astype(jnp.float32)[None, None, :],
        point_bias.astype(jnp.float32)[None, :, None],
    )


def _place(ref: Any, token: Array | int, rows: int, columns: int) -> tuple[Any, Array]:
    """A matrix of the array padded with zeros to powers of two, and where it is real."""

    def side(count: int) -> Array:
        return jnp.arange(1 if count == 1 else max(pl.next_power_of_2(count), LEAST))

    row, column = side(rows)[:, None], side(columns)[None, :]
    return ref.at[token, row, column], (row < rows) & (column < columns)


def _load(ref: Any, token: Array | int, rows: int, columns: int) -> Array:
    place, real = _place(ref, token, rows, columns)
    return plgpu.load(place, mask=real, other=0.0)


def _store(ref: Any, token: Array, rows: int, columns: int, value: Array) -> None:
    place, real = _place(ref, token, rows, columns)
    plgpu.store(place, value.astype(ref.dtype), mask=real)


mix = differentiable(_forward, _gradients)
