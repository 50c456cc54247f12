"""Attention for few tokens and narrow heads on NVIDIA GPUs.

Grid: (samples, heads), one program each. A program loads its head's query, key and value, [tokens,
width] strided out of [batch, tokens, heads, width], into registers; sides are padded to powers of
two of at least 16, the least that tensor cores multiply, so at most 128 x 16, and the scores
128 x 128. They stay in registers between the two products: memory is read and written once, and
neighbouring programs share cache lines. Padded keys get no weight; padded rows are not stored. The
backward pass reads the same tiles and computes the weights again.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array

from jaxvision.ops.attention.few_tokens import differentiable, softmax, softmax_gradient
from jaxvision.ops.products import multiply
from jaxvision.ops.triton_backend import plgpu

# The least side of a matrix that the tensor cores multiply.
LEAST = 16


def _call(body: Any, *arrays: Array, outputs: int, interpret: Any) -> list[Array]:
    """`body` over samples and heads."""
    b, n, h, d = arrays[0].shape
    products = 2 if outputs == 1 else 5

    def kernel(*refs: Any) -> None:
        row = jnp.arange(max(pl.next_power_of_2(n), LEAST))[:, None]
        column = jnp.arange(max(pl.next_power_of_2(d), LEAST))[None, :]
        real = (row < n) & (column < d)
        sample, head = pl.program_id(0), pl.program_id(1)
        places = [ref.at[sample, row, head, column] for ref in refs]
        read = [plgpu.load(place, mask=real, other=0.0) for place in places[: len(arrays)]]
        for place, result in zip(places[len(arrays) :], body(*read, tokens=n), strict=True):
            plgpu.store(place, result.astype(arrays[0].dtype), mask=real)

    return pl.pallas_call(
        kernel,
        out_shape=[jax.ShapeDtypeStruct(arrays[0].shape, arrays[0].dtype)] * outputs,
        grid=(b, h),
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=1),
        cost_estimate=pl.CostEstimate(
            flops=2 * products * b * h * n * n * d,
            transcendentals=b * h * n * n,
            bytes_accessed=(len(arrays) + outputs) * arrays[0].nbytes,
        ),
        interpret=interpret,
    )(*arrays)


def _forward(query: Array, key: Array, value: Array, *, tokens: int):
    weights = softmax(multiply(query, key, (1, 1)), tokens)
    return (multiply(weights.astype(value.dtype), value),)


def _backward(query: Array, key: Array, value: Array, cotangent: Array, *, tokens: int):
    weights = softmax(multiply(query, key, (1, 1)), tokens)
    by_value = multiply(weights.astype(value.dtype), cotangent, (0, 0))
    by_scores = softmax_gradient(weights, multiply(cotangent, value, (1, 1))).astype(query.dtype)
    return multiply(by_scores, key), multiply(by_scores, query, (0, 0)), by_value


attend = differentiable(
    functools.partial(_call, _forward, outputs=1), functools.partial(_call, _backward, outputs=3)
)
