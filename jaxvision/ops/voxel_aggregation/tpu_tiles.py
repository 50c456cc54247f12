"""What the passes on a TPU share: tables of voxels, factors of a tile, grids and their costs."""

from typing import Any

import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array

from jaxvision.ops.products import multiply
from jaxvision.ops.voxel_aggregation.forms import Factor, Form, has_waves, subtracts_own
from jaxvision.ops.windows import PIECE, TILE

# Rows of a table of voxels: block, local x, y, z, absolute x, y, z, and one to spare.
TABLE_ROWS = 8
SEQUENTIAL = pltpu.CompilerParams(dimension_semantics=("arbitrary", "arbitrary"))
PARALLEL = pltpu.CompilerParams(dimension_semantics=("parallel", "parallel"))


def padded_voxels(count: int) -> int:
    """Rows of the sorted voxels: pieces that start at a multiple of TILE never end beyond."""
    return pl.cdiv(count, TILE) * TILE + PIECE - TILE


def working_dtype(form: Form, dtype: Any) -> Any:
    """dtype of products and means: absolute positions cancel, and need float32."""
    return jnp.float32 if subtracts_own(form) else dtype


def factors_of(places: Array, weights_ref: Any, form: Form) -> tuple[Factor, Factor, Factor]:
    """cos and sin of the local phase and the absolute phase, (n, c), of those the form needs."""
    where = places.astype(jnp.float32)
    cos: Factor = 0.0
    sin: Factor = 0.0
    position: Factor = 0.0
    if has_waves(form):
        phase = multiply(where, weights_ref[0], (0, 0))
        cos, sin = jnp.cos(phase), jnp.sin(phase)
    if subtracts_own(form):
        position = multiply(where, weights_ref[1], (0, 0))
    return cos, sin, position


def join_channels(parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=1)


def split_channels(joined: Array, channels: int) -> list[Array]:
    return [joined[:, i : i + channels] for i in range(0, joined.shape[1], channels)]


def scalars(count: int) -> pl.BlockSpec:
    return pl.BlockSpec((None, None, 1, count), lambda s, t: (s, t, 0, 0), memory_space=pltpu.SMEM)


def cost(rows: tuple[int, ...], products: int, sines: int, *moved: Array) -> pl.CostEstimate:
    """Of `rows` rows with so many products and sines each."""
    count = rows[0] * rows[1]
    return pl.CostEstimate(
        flops=2 * count * products,
        transcendentals=count * sines,
        bytes_accessed=sum(array.nbytes for array in moved),
    )
