"""Sampling with the rows of a large map fetched by a TPU's SparseCores.

A TensorCore gathers slowly, and the hat form's work grows with the map. SparseCores (v5p, v6e,
tpu7x; v5e has none) fetch rows by index from main memory; weighting and summing them is left to
XLA. The backward pass by the features is XLA's scatter.

The row numbers of all corners are one list, cut into windows of up to 64 KiB of rows. Every
subcore of every core takes windows in turn: the pipeline copies a window's numbers to the subcore's
memory, an indexed copy fetches the rows there, and they go back out in order. Two windows are in
flight, so the copies in and out overlap.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.experimental.pallas import tpu_sc as plsc
from jaxtyping import Array, Float, Int

from jaxvision.ops.dispatch import over_batch
from jaxvision.ops.sparse_sampling.reference import corners

# Bytes of rows that a subcore fetches at a time: its memory holds two such buffers and more.
BUFFER = 2**16
# Row numbers come in whole vectors.
LANES = 16


def sample_rows(
    features: Float[Array, "x rows c"],
    where: Float[Array, "x m d"],
    sizes: tuple[int, ...],
    take: Callable[[Array, Array], Array] | None = None,
) -> Float[Array, "x m c"]:
    """See `reference.sample_rows`.  take: `take_rows`, or its replacement in a test."""

    def local(features: Array, where: Array) -> Array:
        x, rows, c = features.shape
        found = list(corners(where, sizes))
        first = jnp.arange(x, dtype=jnp.int32)[:, None] * rows
        at = jnp.stack([first + row for row, _ in found])
        fetched = (take or take_rows)(features.reshape(x * rows, c), at.reshape(-1))
        weights = jnp.stack([weight for _, weight in found])[..., None]
        return jnp.sum(fetched.reshape(*at.shape, c).astype(jnp.float32) * weights, axis=0)

    # What was fetched is fetched again rather than kept for the backward pass.
    sampled = over_batch(jax.checkpoint(local), features, where)
    return sampled.astype(features.dtype)


@jax.custom_vjp
def take_rows(table: Float[Array, "rows c"], rows: Int[Array, " n"]) -> Float[Array, "n c"]:
    """table[rows]; every row exists."""
    count, width = len(rows), table.shape[1]
    window = max(BUFFER // (width * table.dtype.itemsize) // LANES, 1) * LANES
    padded = math.ceil(count / window) * window

    @functools.partial(
        pl.kernel,
        out_type=jax.ShapeDtypeStruct((padded, width), table.dtype),
        mesh=plsc.VectorSubcoreMesh(core_axis_name="core", subcore_axis_name="subcore"),
        # Rows of any width, one after the other, instead of a TensorCore's tiles.
        compiler_params=pltpu.CompilerParams(use_tc_tiling_on_sc=False),
        cost_estimate=pl.CostEstimate(
            flops=0,
            transcendentals=0,
            bytes_accessed=padded * (2 * width * table.dtype.itemsize + 4),
        ),
    )
    def kernel(table_ref, rows_ref, out_ref):
        def fetch(rows_of_window, out_of_window):
            pltpu.sync_copy(table_ref.at[rows_of_window.at[0]], out_of_window)

        pltpu.emit_pipeline(
            fetch,
            grid=(padded // window,),
            in_specs=[pl.BlockSpec((1, window), lambda i: (0, i))],
            out_specs=[pl.BlockSpec((window, width), lambda i: (i, 0))],
            core_axis_name=("core", "subcore"),
            dimension_semantics=(pltpu.PARALLEL,),
        )(rows_ref, out_ref)

    return kernel(table, jnp.pad(rows, (0, padded - count))[None])[:count]


def _residuals(table: Array, rows: Array) -> tuple[Array, tuple[Array, Array]]:
    # An empty slice carries the table's shape and dtype.
    return take_rows(table, rows), (table[:, :0], rows)


def _backward(kept: tuple[Array, Array], given: Array) -> tuple[Array, None]:
    like, rows = kept
    total = jnp.zeros((like.shape[0], given.shape[1]), jnp.float32)
    return total.at[rows].add(given.astype(jnp.float32)).astype(given.dtype), None


take_rows.defvjp(_residuals, _backward)
