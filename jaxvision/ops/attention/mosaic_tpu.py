"""Attention for few tokens and narrow heads on a TPU.

A head of width 4 to 16 fills a fraction of the matrix unit. Here as many heads as fill a register's
lanes go through it together: the query is repeated once per head, each copy with zeros outside its
head's channels, so that one product gives the scores of all these heads, one below the other.

Grid: (samples, blocks of channels), independent of each other. A block is [rows, channels]: all
tokens of a sample (padded to 16 rows, a register of bfloat16) by the fewest whole heads that fill
128 lanes, or all channels where they do not divide; Mosaic copies the next block to VMEM while one
is worked on. Tokens are few enough that scores never leave VMEM: a group of g heads holds scores
[g rows, rows] in float32, and g is bounded so that the query's copies fit beside them. The backward
pass reads the same blocks, computes the weights again, and sums over groups in float32.
"""

import functools
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float

from jaxvision.ops.attention.few_tokens import differentiable, softmax, softmax_gradient
from jaxvision.ops.products import multiply

LANES = 128
# Rows are padded to whole registers of bfloat16.
ROWS = 16
# Numbers in one group's copies of the query: a few such arrays fit beside each other.
ROOM = 2**19


def _call(body: Any, *arrays: Array, outputs: int, interpret: Any) -> list[Array]:
    """`body` over samples and blocks of heads, on rows of all heads' channels."""
    b, n, h, d = arrays[0].shape
    block = math.lcm(LANES, d)
    if (h * d) % block:
        block = h * d
    rows = -(-n // ROWS) * ROWS
    spec = pl.BlockSpec((1, rows, block), lambda i, j: (i, 0, j))
    tokens = [x.reshape(b, n, h * d) for x in arrays]
    shape = jax.ShapeDtypeStruct(tokens[0].shape, tokens[0].dtype)
    products = 2 if outputs == 1 else 5

    def kernel(*refs: Any) -> None:
        real = jax.lax.broadcasted_iota(jnp.int32, (rows, 1), 0) < n
        # Rows beyond the tokens hold anything.
        read = [jnp.where(real, ref[0], 0) for ref in refs[: len(tokens)]]
        results = body(*read, heads=block // d, width=d, tokens=n)
        for ref, result in zip(refs[len(tokens) :], results, strict=True):
            ref[0] = result.astype(ref.dtype)

    results = pl.pallas_call(
        kernel,
        out_shape=[shape] * outputs,
        grid=(b, h * d // block),
        in_specs=[spec] * len(tokens),
        out_specs=[spec] * outputs,
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel", "parallel")),
        cost_estimate=pl.CostEstimate(
            flops=2 * products * b * h * n * n * d,
            transcendentals=b * h * n * n,
            bytes_accessed=(len(tokens) + outputs) * arrays[0].nbytes,
        ),
        interpret=interpret,
    )(*tokens)
    return [result.reshape(b, n, h, d) for result in results]


def _forward(query: Array, key: Array, value: Array, *, heads: int, width: int, tokens: int):
    mixed = jnp.zeros(query.shape, jnp.float32)
    for own in _groups(heads, width, query):
        weights = softmax(multiply(_spread(query, own), key, (1, 1)), tokens)
        mixed += _collect(multiply(weights.astype(value.dtype), value), own)
    return (mixed,)


def _backward(
    query: Array, key: Array, value: Array, cotangent: Array, *, heads: int, width: int, tokens: int
):
    by_query, by_key, by_value = (jnp.zeros(query.shape, jnp.float32) for _ in range(3))
    for own in _groups(heads, width, query):
        spread, by_mixed = _spread(query, own), _spread(cotangent, own)
        weights = softmax(multiply(spread, key, (1, 1)), tokens)
        by_value += multiply(weights.astype(value.dtype), by_mixed, (0, 0))
        by_scores = softmax_gradient(weights, multiply(by_mixed, value, (1, 1)))
        by_scores = by_scores.astype(query.dtype)
        by_query += _collect(multiply(by_scores, key), own)
        by_key += multiply(by_scores, spread, (0, 0))
    return by_query, by_key, by_value


def _groups(heads: int, width: int, like: Array) -> Iterator[Array]:
    """[heads, 1, channels] of as many heads as go together: which channels are a head's own."""
    divisors = (n for n in range(1, heads + 1) if heads % n == 0)
    together = max(n for n in divisors if n == 1 or n * like.size <= ROOM)
    shape = (together, 1, like.shape[1])
    lane = jax.lax.broadcasted_iota(jnp.int32, shape, 2)
    for first in range(0, heads, together):
        head = first + jax.lax.broadcasted_iota(jnp.int32, shape, 0)
        yield (lane >= head * width) & (lane < (head + 1) * width)


def _spread(x: Float[Array, "n c"], own: Array) -> Float[Array, "hn c"]:
    """A copy per head, each with its own channels alone."""
    copies = jnp.where(own, x[None].astype(jnp.float32), 0)
    return copies.reshape(-1, x.shape[1]).astype(x.dtype)


def _collect(x: Float[Array, "hn c"], own: Array) -> Float[Array, "n c"]:
    """Each head's own channels of its copy."""
    copies = x.reshape(own.shape[0], -1, x.shape[1])
    return jnp.sum(jnp.where(own, copies, 0), axis=0)


attend = differentiable(
    functools.partial(_call, _forward, outputs=1), functools.partial(_call, _backward, outputs=3)
)
