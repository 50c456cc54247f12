"""Sums over the voxels of a block and over neighbouring blocks, with gradients that gather."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvision.ops.dispatch import over_batch
from jaxvision.ops.sparse_voxels import KernelMap, gather_rows

# Blocks that are worked on at a time.
CHUNK = 2048


def _segment_sum(values: Array, block_of: Array, blocks: int) -> Array:
    return jax.vmap(
        lambda v, b: jnp.zeros((blocks, v.shape[-1]), jnp.float32).at[b].add(v, mode="drop")
    )(values, block_of)


@jax.custom_vjp
def block_sum(
    values: Float[Array, "s v c"], block_of: Int[Array, "s v"], like: Float[Array, "s m 0"]
) -> Float[Array, "s m c"]:
    """Float32 sum over the voxels of each block. like: an empty array with as many rows as blocks.

    XLA adds in row order on a CPU and on a TPU; on a GPU its scatter does not promise an order.
    """
    return _segment_sum(values, block_of, like.shape[1])


def _block_sum_forward(values: Array, block_of: Array, like: Array) -> tuple[Array, tuple]:
    return block_sum(values, block_of, like), (block_of, jnp.zeros((0,), values.dtype))


def _block_sum_backward(saved: tuple, cotangent: Array) -> tuple[Array, None, None]:
    block_of, like = saved
    return gather_rows(cotangent, block_of).astype(like.dtype), None, None


block_sum.defvjp(_block_sum_forward, _block_sum_backward)


@jax.custom_vjp
def of_block(sums: Float[Array, "s m c"], block_of: Int[Array, "s v"]) -> Float[Array, "s v c"]:
    """Every voxel's row of its block; zeros for a voxel without one."""
    return gather_rows(sums, block_of)


def _of_block_forward(sums: Array, block_of: Array) -> tuple[Array, tuple]:
    return gather_rows(sums, block_of), (block_of, jnp.zeros((sums.shape[1], 0)))


def _of_block_backward(saved: tuple, cotangent: Array) -> tuple[Array, None]:
    block_of, like = saved
    return _segment_sum(cotangent, block_of, like.shape[0]), None


of_block.defvjp(_of_block_forward, _of_block_backward)


def _by_chunks(
    rows: Int[Array, "s k m"],
    existing: Int[Array, " s"],
    width: int,
    sum_rows: Callable[[Array], Array],
) -> Float[Array, "s m w"]:
    """sum_rows(some rows of every tap) for the blocks that exist, zeros beyond.

    The capacity costs nothing: only as many chunks are worked on as there are blocks.
    """
    shards, _, capacity = rows.shape
    size = min(CHUNK, capacity)

    def one(number: Array, totals: Array) -> Array:
        # The last chunk is moved back, and works on some blocks a second time.
        start = jnp.minimum(number * size, capacity - size)
        part = jax.lax.dynamic_slice_in_dim(rows, start, size, axis=2)
        return jax.lax.dynamic_update_slice_in_dim(totals, sum_rows(part), start, axis=1)

    chunks = (jnp.max(existing) + size - 1) // size
    zeros = jnp.zeros((shards, capacity, width), jnp.float32)
    return jax.lax.fori_loop(0, chunks, one, zeros)


def _sum_neighbours(sums: Array, rows: Array, existing: Array) -> Array:
    def local(sums: Array, rows: Array, existing: Array) -> Array:
        def sum_rows(part: Array) -> Array:
            def add(total: Array, read: Array) -> tuple[Array, None]:
                return total + gather_rows(sums, read), None

            start = jnp.zeros((part.shape[0], part.shape[2], sums.shape[2]), jnp.float32)
            return jax.lax.scan(add, start, jnp.moveaxis(part, 1, 0))[0]

        return _by_chunks(rows, existing, sums.shape[2], sum_rows)

    # Each device loops over its own blocks, and none waits for another.
    return over_batch(local, sums, rows, existing)


@jax.custom_vjp
def neighbour_sum(
    sums: Float[Array, "s m c"], neighbours: KernelMap, existing: Int[Array, " s"]
) -> Float[Array, "s m c"]:
    """Sum over the neighbouring blocks that exist, the own one included.

    existing: blocks of each shard; rows beyond give zeros.
    """
    return _sum_neighbours(sums, neighbours.inputs, existing)


neighbour_sum.defvjp(
    lambda sums, neighbours, existing: (
        _sum_neighbours(sums, neighbours.inputs, existing),
        (neighbours, existing),
    ),
    lambda kept, cotangent: (_sum_neighbours(cotangent, kept[0].outputs, kept[1]), None, None),
)


def _halves(joined: Array) -> tuple[Array, Array]:
    return joined[..., : joined.shape[-1] // 2], joined[..., joined.shape[-1] // 2 :]


def _sum_rotated(sums: Array, cos: Array, sin: Array, rows: Array, existing: Array) -> Array:
    def local(sums: Array, rows: Array, existing: Array, cos: Array, sin: Array) -> Array:
        def sum_rows(part: Array) -> Array:
            def add(totals: tuple[Array, Array], step: tuple) -> tuple[tuple[Array, Array], None]:
                read, c, s = step
                of_cos, of_sin = _halves(gather_rows(sums, read))
                return (
                    totals[0] + of_cos * c - of_sin * s,
                    totals[1] + of_sin * c + of_cos * s,
                ), None

            start = jnp.zeros((part.shape[0], part.shape[2], cos.shape[1]), jnp.float32)
            steps = (jnp.moveaxis(part, 1, 0), cos, sin)
            return jnp.concatenate(jax.lax.scan(add, (start, start), steps)[0], axis=-1)

        return _by_chunks(rows, existing, sums.shape[2], sum_rows)

    return over_batch(local, sums, rows, existing, whole=(cos, sin))


@jax.custom_vjp
def rotated_neighbour_sum(
    sums: Float[Array, "s m 2*c"],
    cos: Float[Array, "k c"],
    sin: Float[Array, "k c"],
    neighbours: KernelMap,
    existing: Int[Array, " s"],
) -> Float[Array, "s m 2*c"]:
    """Neighbours' sums of G cos(p) and G sin(p), each turned by the phase of its block offset.

    sums: those of the cosine, then those of the sine.
    cos, sin: of the phase from the own block's corner to the neighbour's, per offset. With them
    the neighbours' local phases are read from the own block's corner: no absolute phase arises.
    """
    return _sum_rotated(sums, cos, sin, neighbours.inputs, existing)


def _rotated_forward(
    sums: Array, cos: Array, sin: Array, neighbours: KernelMap, existing: Array
) -> tuple[Array, tuple]:
    out = _sum_rotated(sums, cos, sin, neighbours.inputs, existing)
    return out, (sums, cos, sin, neighbours, existing)


def _rotated_backward(saved: tuple, cotangent: Array) -> tuple[Array, Array, Array, None, None]:
    sums, cos, sin, neighbours, existing = saved
    back = _sum_rotated(cotangent, cos, -sin, neighbours.outputs, existing)

    def local(sums: Array, cotangent: Array, rows: Array, existing: Array) -> Array:
        size = min(CHUNK, rows.shape[2])
        chunks = (jnp.max(existing) + size - 1) // size
        padded = jnp.pad(cotangent, ((0, 0), (0, size), (0, 0)))
        rows = jnp.pad(rows, ((0, 0), (0, 0), (0, size)), constant_values=sums.shape[1])

        def one(number: Array, total: Array) -> Array:
            given = jax.lax.dynamic_slice_in_dim(padded, number * size, size, axis=1)
            part = jax.lax.dynamic_slice_in_dim(rows, number * size, size, axis=2)
            of_cos, of_sin = _halves(given)

            def of_angle(read: Array) -> Array:
                c, s = _halves(gather_rows(sums, read))
                along = jnp.sum(of_cos * c + of_sin * s, axis=(0, 1))
                across = jnp.sum(of_sin * c - of_cos * s, axis=(0, 1))
                return jnp.stack([along, across])

            return total + jax.lax.map(of_angle, jnp.moveaxis(part, 1, 0))

        total = jax.lax.fori_loop(0, chunks, one, jnp.zeros((len(cos), 2, cos.shape[1])))
        return total[None]

    # Each device's sum on an axis of its own: the one all-reduce comes after.
    angles = jnp.sum(over_batch(local, sums, cotangent, neighbours.inputs, existing), axis=0)
    return back, angles[:, 0], angles[:, 1], None, None


rotated_neighbour_sum.defvjp(_rotated_forward, _rotated_backward)
