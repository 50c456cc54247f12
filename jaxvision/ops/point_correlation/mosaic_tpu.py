"""Correlations with the nearest points on a TPU: one kernel for search, products and picking.

Grid: (clouds, tiles of 128 points of the first), independent. A program first runs the rounds of
`k_nearest_neighbours`. Once the indices stand (the last may change until then), it goes through the
second cloud `ROWS` points at a time. Their correlations with the tile are a product on the matrix
unit, [rows, c] x [c, 128]; they and the coordinates, spread over the lanes, lie in scratch while
each of the k places picks its own. A place names one point of the cloud, so that a selection by
comparison, register after register, is all it takes: no gather, and no sum but of eight rows at the
end. By the compiler's count of instructions picking takes three quarters of the search's time. In
VMEM lie the second cloud's points and features whole, and the distances.

The gradients by features: grid (clouds, tiles), tiles in order. The gradient by the correlations of
a tile with `ROWS` points is spread from the k places by comparisons; its products with either
features are their gradients. That of the second cloud [m, c] stays in VMEM until all tiles have
added to it. The gradient by the second cloud's places is such a spread, summed over the tile.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float, Int

from jaxvision.ops.k_nearest_neighbours.mosaic_tpu import QUERY_TILE, padded, search
from jaxvision.ops.k_nearest_neighbours.mosaic_tpu import working_set as searching
from jaxvision.ops.point_correlation.gradients import differentiable
from jaxvision.ops.products import multiply

ROWS = 128


def working_set(m: int, channels: int, itemsize: int, k: int) -> int:
    """Bytes on the chip at once, of the larger of both directions."""
    rows, c, places = -(-m // 256) * 256, -(-channels // 128) * 128, -(-k // 8) * 8
    line = 4 * QUERY_TILE
    # In two buffers: features, and what is picked or given.
    features = 2 * c * (rows + QUERY_TILE)
    outside = 2 * 4 * places * line
    forward = searching(m, 3, k) + itemsize * features + outside + line * (5 * ROWS + 32 * k)
    backward = (itemsize + 4) * features + outside + 4 * ROWS * (QUERY_TILE + 2 * c)
    return max(forward, backward)


def _forward(
    first: Array, second: Array, xyz1: Array, xyz2: Array, k: int, interpret: Any
) -> tuple[Array, Array]:
    b, n, c = first.shape
    xyz2, second = padded(xyz2), padded(second, 0)
    m = xyz2.shape[1]
    factor = _factor_dtype(first, second)

    def kernel(xyz2_ref, xyz1_ref, first_ref, second_ref, found_ref, indices_ref, *scratch):
        squared_ref, distance_ref, values_ref, picked_ref = scratch
        search(xyz2_ref, xyz1_ref, indices_ref, squared_ref, distance_ref)

        def pick(block: Array, _: None) -> None:
            place, number = _part(block, m)
            for axis in range(3):
                values_ref[axis] = jnp.broadcast_to(xyz2_ref[place, axis : axis + 1], number.shape)
            theirs, mine = (ref.astype(factor) for ref in (second_ref[place], first_ref[...]))
            values_ref[3] = multiply(theirs, mine, (1, 1))

            def one(turn: Array, _: None) -> None:
                index = indices_ref[pl.ds(turn, 1), :]
                found = [picked_ref[axis, turn] for axis in range(4)]
                for row in range(0, number.shape[0], 8):
                    rows = slice(row, row + 8)
                    hit = number[rows] == index
                    for axis in range(4):
                        found[axis] = jnp.where(hit, values_ref[axis, rows], found[axis])
                for axis in range(4):
                    picked_ref[axis, turn] = found[axis]

            jax.lax.fori_loop(0, k, one, None)

        picked_ref[...] = jnp.zeros_like(picked_ref)
        jax.lax.fori_loop(0, m // _rows(m), pick, None)
        # Each place has picked once: in one of eight rows.
        for axis in range(4):
            found = jnp.sum(picked_ref[axis], axis=1)
            found_ref[axis] = found / c if axis == 3 else found - xyz1_ref[axis : axis + 1, :]

    found, indices = pl.pallas_call(
        kernel,
        out_shape=(
            jax.ShapeDtypeStruct((b, 4, k, n), jnp.float32),
            jax.ShapeDtypeStruct((b, k, n), jnp.int32),
        ),
        grid=(b, pl.cdiv(n, QUERY_TILE)),
        in_specs=[_whole(m, 3), _lanes(3), _feature_tile(c), _whole(m, c)],
        out_specs=(_lanes(4, k), _lanes(k)),
        scratch_shapes=[
            pltpu.VMEM((k, QUERY_TILE), jnp.float32),
            pltpu.VMEM((m, QUERY_TILE), jnp.float32),
            pltpu.VMEM((4, _rows(m), QUERY_TILE), jnp.float32),
            pltpu.VMEM((4, k, 8, QUERY_TILE), jnp.float32),
        ],
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel", "parallel")),
        cost_estimate=pl.CostEstimate(
            flops=b * n * m * (9 + 2 * c + 13 * k),
            transcendentals=0,
            bytes_accessed=sum(x.nbytes for x in (first, second, xyz1, xyz2)) + 20 * b * n * k,
        ),
        interpret=interpret,
    )(xyz2, jnp.swapaxes(xyz1, 1, 2), first, second)
    return jnp.transpose(found, (0, 3, 2, 1)), jnp.swapaxes(indices, 1, 2)


def _by_features(
    first: Array, second: Array, indices: Array, cotangent: Array, interpret: Any
) -> tuple[Float[Array, "b n c"], Float[Array, "b m c"]]:
    (b, n, c), count = first.shape, second.shape[1]
    k = indices.shape[2]
    second = padded(second, 0)
    m = second.shape[1]
    given = jnp.swapaxes(cotangent[..., 3] / c, 1, 2)

    def kernel(indices_ref, given_ref, first_ref, second_ref, of_first_ref, of_second_ref):
        @pl.when(pl.program_id(1) == 0)
        def _():
            of_second_ref[...] = jnp.zeros_like(of_second_ref)

        # Beyond the last point lies anything, and anything times zero need not be zero.
        row = jax.lax.broadcasted_iota(jnp.int32, (QUERY_TILE, 1), 0)
        real = row + pl.program_id(1) * QUERY_TILE < n
        mine = jnp.where(real, first_ref[...].astype(jnp.float32), 0.0)
        of_first_ref[...] = jnp.zeros_like(of_first_ref)

        def add(block: Array, _: None) -> None:
            place, number = _part(block, m)
            spread = _spread(indices_ref, given_ref, number)
            theirs = second_ref[place].astype(jnp.float32)
            of_first_ref[...] += multiply(spread, theirs, (0, 0))
            of_second_ref[place] += multiply(spread, mine, (1, 0))

        jax.lax.fori_loop(0, m // _rows(m), add, None)

    of_first, of_second = pl.pallas_call(
        kernel,
        out_shape=(
            jax.ShapeDtypeStruct((b, n, c), jnp.float32),
            jax.ShapeDtypeStruct((b, m, c), jnp.float32),
        ),
        grid=(b, pl.cdiv(n, QUERY_TILE)),
        in_specs=[_lanes(k), _lanes(k), _feature_tile(c), _whole(m, c)],
        out_specs=(_feature_tile(c), _whole(m, c)),
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel", "arbitrary")),
        cost_estimate=pl.CostEstimate(
            flops=b * n * m * (4 * c + 3 * k),
            transcendentals=0,
            bytes_accessed=first.nbytes + second.nbytes + 4 * b * (c * (n + m) + 2 * n * k),
        ),
        interpret=interpret,
    )(_by_lanes(indices), given, first, second)
    return of_first, of_second[:, :count]


def _by_places(
    indices: Array, cotangent: Array, count: int, interpret: Any
) -> Float[Array, "b m 3"]:
    b, n, k = indices.shape
    m = jax.eval_shape(padded, jax.ShapeDtypeStruct((b, count, 3), jnp.float32)).shape[1]
    given = jnp.transpose(cotangent[..., :3], (0, 3, 2, 1))

    def kernel(indices_ref, given_ref, out_ref):
        @pl.when(pl.program_id(1) == 0)
        def _():
            out_ref[...] = jnp.zeros_like(out_ref)

        def add(block: Array, _: None) -> None:
            place, number = _part(block, m)
            for axis in range(3):
                spread = _spread(indices_ref, given_ref.at[axis], number)
                out_ref[place, axis : axis + 1] += jnp.sum(spread, axis=1, keepdims=True)

        jax.lax.fori_loop(0, m // _rows(m), add, None)

    of_places = pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((b, m, 3), jnp.float32),
        grid=(b, pl.cdiv(n, QUERY_TILE)),
        in_specs=[_lanes(k), _lanes(3, k)],
        out_specs=_whole(m, 3),
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel", "arbitrary")),
        cost_estimate=pl.CostEstimate(
            flops=9 * b * n * m * k,
            transcendentals=0,
            bytes_accessed=16 * b * n * k + 12 * b * m,
        ),
        interpret=interpret,
    )(_by_lanes(indices), given)
    return of_places[:, :count]


def _factor_dtype(*features: Array) -> Any:
    """The matrix unit takes bfloat16 as it is."""
    half = all(each.dtype == jnp.bfloat16 for each in features)
    return jnp.bfloat16 if half else jnp.float32


def _rows(m: int) -> int:
    """Of a block; m: of the padded cloud, up to 256 or a multiple of it."""
    return ROWS if m % ROWS == 0 else m


def _part(block: Array, m: int) -> tuple[Any, Array]:
    """(the points of a block, the number of each place of [rows, 128])."""
    rows = _rows(m)
    number = jax.lax.broadcasted_iota(jnp.int32, (rows, QUERY_TILE), 0) + block * rows
    return pl.ds(pl.multiple_of(block * rows, 8), rows), number


def _spread(indices_ref: Any, given_ref: Any, number: Array) -> Float[Array, "rows 128"]:
    """What is given at the k places [k, 128], at the points they name."""

    def add(turn: Array, total: Array) -> Array:
        hit = number == indices_ref[pl.ds(turn, 1), :]
        return total + jnp.where(hit, given_ref[pl.ds(turn, 1), :], 0.0)

    start = jnp.zeros(number.shape, jnp.float32)
    return jax.lax.fori_loop(0, indices_ref.shape[0], add, start)


def _by_lanes(indices: Int[Array, "b n k"]) -> Int[Array, "b k tiles"]:
    """Whole tiles of points; those of the padding name no other."""
    padding = ((0, 0), (0, -indices.shape[1] % QUERY_TILE), (0, 0))
    return jnp.swapaxes(jnp.pad(indices, padding, constant_values=-1), 1, 2)


def _whole(m: int, width: int) -> pl.BlockSpec:
    return pl.BlockSpec((None, m, width), lambda i, t: (i, 0, 0))


def _feature_tile(channels: int) -> pl.BlockSpec:
    return pl.BlockSpec((None, QUERY_TILE, channels), lambda i, t: (i, t, 0))


def _lanes(*size: int) -> pl.BlockSpec:
    """[*size, points], of which 128 lie on lanes."""
    return pl.BlockSpec((None, *size, QUERY_TILE), lambda i, t: (i, *(0,) * len(size), t))


correlations = differentiable(_forward, _by_features, _by_places)
