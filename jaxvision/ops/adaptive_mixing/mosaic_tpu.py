"""Adaptive mixing fused on a TPU: each token's matrices are read once, and what lies between the
two products never leaves the chip. The backward pass computes it again.

Grid: blocks of 8 tokens, of all samples. In VMEM per step: for each of the 8 tokens its points
[p, c], its two matrices [c, c] and [o, p] and its result [o, c]; the biases whole. Tokens have
matrices of their own, so they cannot share a product: a loop works on one at a time while Mosaic
copies the next block in. The biases' gradients sum over the grid, so its steps run in order there.
"""

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array

from jaxvision.ops.adaptive_mixing.gradients import cost, differentiable
from jaxvision.ops.adaptive_mixing.token import Sizes, mix_token, mix_token_gradients

# Tokens a program: enough to hide the reads of the next ones.
TOKEN_TILE = 8


def _forward(x, channel, point, channel_bias, point_bias, activations, norm_epsilon, interpret):
    n, p, c = x.shape
    o = point.shape[1]
    tile = min(TOKEN_TILE, n)

    def kernel(x_ref, channel_ref, point_ref, channel_bias_ref, point_bias_ref, out_ref):
        def token(i, _):
            out_ref[i] = mix_token(
                x_ref[i],
                channel_ref[i],
                point_ref[i],
                channel_bias_ref[...],
                point_bias_ref[...],
                activations,
                norm_epsilon,
                Sizes(p, o, c),
            ).astype(out_ref.dtype)
            return 0

        jax.lax.fori_loop(0, tile, token, 0)

    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((n, o, c), x.dtype),
        grid=(pl.cdiv(n, tile),),
        in_specs=[*_tokens(tile, (p, c), (c, c), (o, p)), *_wholes((1, c), (o, 1))],
        out_specs=_tokens(tile, (o, c))[0],
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel",)),
        cost_estimate=cost(n, p, c, o, x.dtype.itemsize, 1),
        interpret=interpret,
    )(x, channel, point, *_biases(channel_bias, point_bias))


def _gradients(
    x, channel, point, channel_bias, point_bias, cotangent, activations, norm_epsilon, interpret
):
    """By x, channel, point, and both biases (float32, summed over these tokens)."""
    n, p, c = x.shape
    o = point.shape[1]
    tile = min(TOKEN_TILE, n)

    def kernel(
        x_ref, channel_ref, point_ref, channel_bias_ref, point_bias_ref, cotangent_ref, *out
    ):
        by_x, by_channel, by_point, by_channel_bias, by_point_bias = out
        first = pl.program_id(0) * tile

        @pl.when(first == 0)
        def _():
            by_channel_bias[...] = jnp.zeros_like(by_channel_bias)
            by_point_bias[...] = jnp.zeros_like(by_point_bias)

        def token(i, sums):
            by_token = mix_token_gradients(
                x_ref[i],
                channel_ref[i],
                point_ref[i],
                channel_bias_ref[...],
                point_bias_ref[...],
                cotangent_ref[i].astype(jnp.float32),
                activations,
                norm_epsilon,
                Sizes(p, o, c),
            )
            for ref, part in zip((by_x, by_channel, by_point), by_token[:3], strict=True):
                ref[i] = part.astype(ref.dtype)
            # The last tile reaches beyond the tokens.
            real = first + i < n
            return tuple(
                total + jnp.where(real, part, 0)
                for total, part in zip(sums, by_token[3:], strict=True)
            )

        zeros = (jnp.zeros((1, c), jnp.float32), jnp.zeros((o, 1), jnp.float32))
        channel_sum, point_sum = jax.lax.fori_loop(0, tile, token, zeros)
        by_channel_bias[...] += channel_sum
        by_point_bias[...] += point_sum

    by_x, by_channel, by_point, by_channel_bias, by_point_bias = pl.pallas_call(
        kernel,
        out_shape=[
            jax.ShapeDtypeStruct(x.shape, x.dtype),
            jax.ShapeDtypeStruct(channel.shape, channel.dtype),
            jax.ShapeDtypeStruct(point.shape, point.dtype),
            jax.ShapeDtypeStruct((1, c), jnp.float32),
            jax.ShapeDtypeStruct((o, 1), jnp.float32),
        ],
        grid=(pl.cdiv(n, tile),),
        in_specs=[
            *_tokens(tile, (p, c), (c, c), (o, p)),
            *_wholes((1, c), (o, 1)),
            *_tokens(tile, (o, c)),
        ],
        out_specs=[*_tokens(tile, (p, c), (c, c), (o, p)), *_wholes((1, c), (o, 1))],
        # In order: the biases' gradients are summed over the grid.
        compiler_params=pltpu.CompilerParams(dimension_semantics=("arbitrary",)),
        cost_estimate=cost(n, p, c, o, x.dtype.itemsize, 3),
        interpret=interpret,
    )(x, channel, point, *_biases(channel_bias, point_bias), cotangent)
    return (
        by_x,
        by_channel,
        by_point,
        by_channel_bias[0],
        by_point_bias[:, 0],
    )


def _biases(channel_bias: Array, point_bias: Array) -> tuple[Array, Array]:
    return (
        channel_bias.astype(jnp.float32)[None, :],
        point_bias.astype(jnp.float32)[:, None],
    )


def _tokens(tile: int, *shapes: tuple[int, int]) -> list[pl.BlockSpec]:
    return [pl.BlockSpec((tile, *shape), lambda i: (i, 0, 0)) for shape in shapes]


def _wholes(*shapes: tuple[int, int]) -> list[pl.BlockSpec]:
    return [pl.BlockSpec(shape, lambda i: (0, 0)) for shape in shapes]


mix = differentiable(_forward, _gradients)
