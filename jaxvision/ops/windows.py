"""Reading rows by index on a TPU: contiguous windows and products with one-hot matrices.

A TPU gathers slowly, but the rows that a tile of 128 sorted voxels reads under the taps of one
column (the same x and y) lie close together. The window of rows from the first to the last of them
is copied from main memory to VMEM in one piece, and a product with a one-hot matrix [piece, 128]
picks the rows. A window wider than a piece is read piece by piece: slower, and exact all the same.

`window_bounds` is computed by XLA before the kernel and read there from scalar memory. The copies
of all columns' first pieces start together (`Reader.request`), so that later ones arrive while
earlier ones are used.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float, Int

from jaxvision.ops.products import multiply

# Output rows of a program, and rows of a piece: wide enough for nearly every window of a scan.
TILE = 128
PIECE = 256
# First rows of pieces: what a copy of 16-bit rows asks for.
ALIGN = 16


def round_up(count: int, step: int) -> int:
    """The least multiple of step that is not below count."""
    return -(-count // step) * step


def pad_rows(rows: Float[Array, "s v c"]) -> Float[Array, "s p c"]:
    """Rows padded to a multiple of `ALIGN`."""
    missing = round_up(rows.shape[1], ALIGN) - rows.shape[1]
    return jnp.pad(rows, ((0, 0), (0, missing), (0, 0))) if missing else rows


def window_bounds(
    rows: Int[Array, "s k o"], run: int, capacity: int, piece: int
) -> Int[Array, "s t 1 b"]:
    """First row (aligned) and number of pieces of the window of every tile and column.

    rows: read by each tap and output; outside [0, capacity) is missing.  run: taps of a column.
    The last axis alternates: first row and number of pieces of column 0, of column 1, ...
    """
    shards, taps, outputs = rows.shape
    tiles = pl.cdiv(outputs, TILE)
    padded = jnp.pad(rows, ((0, 0), (0, 0), (0, tiles * TILE - outputs)), constant_values=capacity)
    grouped = padded.reshape(shards, taps // run, run, tiles, TILE)
    exists = (grouped >= 0) & (grouped < capacity)
    first = jnp.min(jnp.where(exists, grouped, capacity), axis=(2, 4)) // ALIGN * ALIGN
    end = jnp.max(jnp.where(exists, grouped + 1, 0), axis=(2, 4))
    pieces = -(-jnp.maximum(end - first, 0) // piece)
    bounds = jnp.stack([first, pieces], axis=-1).astype(jnp.int32)
    return jnp.moveaxis(bounds, 1, 2).reshape(shards, tiles, 1, -1)


class Reader(NamedTuple):
    """Windows of one tile, inside a kernel.

    bounds: of `window_bounds`, (1, b) scalars.  source: a shard's rows in the chip's main memory.
    windows: VMEM for one piece of each column.  semaphores: one for each column's copy.
    """

    bounds: Any
    source: Any
    windows: Any
    semaphores: Any

    def _start(self, column: Array | int, piece: Array | int) -> tuple[Array, Array]:
        """The first row of a piece, and of its copy, which must end within the source."""
        wanted = self.bounds[0, 2 * column] + piece * self.windows.shape[1]
        last = self.source.shape[0] - self.windows.shape[1]
        return wanted, pl.multiple_of(jnp.minimum(wanted, last), ALIGN)

    def _copy(self, column: Array | int, piece: Array | int) -> Any:
        _, start = self._start(column, piece)
        return pltpu.make_async_copy(
            self.source.at[pl.ds(start, self.windows.shape[1])],
            self.windows.at[column],
            self.semaphores.at[column],
        )

    def request(self) -> None:
        """Start the copies of all columns' first pieces."""

        def one(column: Array, _: None) -> None:
            @pl.when(self.bounds[0, 2 * column + 1] > 0)
            def _start() -> None:
                self._copy(column, 0).start()

        jax.lax.fori_loop(0, self.windows.shape[0], one, None)

    def read(self, column: Array | int, use: Any) -> None:
        """use(pick) for every piece of a column; pick(index) is the rows of an index, (TILE, c).

        index: (1, TILE); a row that this piece does not hold gives zeros. Float32.
        """

        def one(piece: Array, _: None) -> None:
            @pl.when(piece > 0)
            def _next() -> None:
                self._copy(column, piece).start()

            self._copy(column, piece).wait()
            wanted, start = self._start(column, piece)
            rows = self.windows[column]

            def pick(index: Array) -> Array:
                # A copy that starts earlier holds rows of the piece before, already used.
                index = jnp.where(index >= wanted, index, -1)
                return multiply(one_hot(index, start, rows.shape[0], rows.dtype), rows, (0, 0))

            use(pick)

        jax.lax.fori_loop(0, self.bounds[0, 2 * column + 1], one, None)


def reader_scratch(columns: int, piece: int, channels: int, dtype: Any) -> list:
    """Scratch of a `Reader`."""
    return [pltpu.VMEM((columns, piece, channels), dtype), pltpu.SemaphoreType.DMA((columns,))]


def piece_of(rows: int, piece: int = PIECE) -> int:
    """Rows of a piece where there are `rows` in all."""
    return min(piece, round_up(rows, ALIGN))


def one_hot(index: Int[Array, "1 n"], first: Array, count: int, dtype: Any) -> Array:
    """(count, n): 1 where row first + i is the index."""
    place = jax.lax.broadcasted_iota(jnp.int32, (count, index.shape[1]), 0) + first
    return jnp.where(place == index, 1.0, 0.0).astype(dtype)
