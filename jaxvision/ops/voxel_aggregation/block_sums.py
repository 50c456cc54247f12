"""Sums over the voxels of a block and over neighbouring blocks, with gradients that gather."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvision.ops.sparse_voxels import KernelMap, gather_rows


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


def _sum_neighbours(values: Array, rows: Array) -> Array:
    def add(total: Array, read: Array) -> tuple[Array, None]:
        return total + gather_rows(values, read), None

    start = jnp.zeros((values.shape[0], rows.shape[2], values.shape[2]), jnp.float32)
    return jax.lax.scan(add, start, jnp.moveaxis(rows, 1, 0))[0]


@jax.custom_vjp
def neighbour_sum(sums: Float[Array, "s m c"], neighbours: KernelMap) -> Float[Array, "s m c"]:
    """Sum over the neighbouring blocks that exist, the own one included."""
    return _sum_neighbours(sums, neighbours.inputs)


neighbour_sum.defvjp(
    lambda sums, neighbours: (_sum_neighbours(sums, neighbours.inputs), neighbours),
    lambda neighbours, cotangent: (_sum_neighbours(cotangent, neighbours.outputs), None),
)


def _rotate(cos_sum: Array, sin_sum: Array, cos: Array, sin: Array) -> tuple[Array, Array]:
    """Sums of G cos(p) and G sin(p) when every phase p grows by the angle."""
    return cos_sum * cos - sin_sum * sin, sin_sum * cos + cos_sum * sin


def _sum_rotated(
    cos_sums: Array, sin_sums: Array, cos: Array, sin: Array, rows: Array
) -> tuple[Array, Array]:
    def add(totals: tuple[Array, Array], step: tuple) -> tuple[tuple[Array, Array], None]:
        read, c, s = step
        turned = _rotate(gather_rows(cos_sums, read), gather_rows(sin_sums, read), c, s)
        return (totals[0] + turned[0], totals[1] + turned[1]), None

    start = jnp.zeros((cos_sums.shape[0], rows.shape[2], cos_sums.shape[2]), jnp.float32)
    return jax.lax.scan(add, (start, start), (jnp.moveaxis(rows, 1, 0), cos, sin))[0]


@jax.custom_vjp
def rotated_neighbour_sum(
    cos_sums: Float[Array, "s m c"],
    sin_sums: Float[Array, "s m c"],
    cos: Float[Array, "k c"],
    sin: Float[Array, "k c"],
    neighbours: KernelMap,
) -> tuple[Float[Array, "s m c"], Float[Array, "s m c"]]:
    """Neighbours' sums of G cos(p) and G sin(p), each turned by the phase of its block offset.

    cos, sin: of the phase from the own block's corner to the neighbour's, per offset. With them
    the neighbours' local phases are read from the own block's corner: no absolute phase arises.
    """
    return _sum_rotated(cos_sums, sin_sums, cos, sin, neighbours.inputs)


def _rotated_forward(
    cos_sums: Array, sin_sums: Array, cos: Array, sin: Array, neighbours: KernelMap
) -> tuple[tuple[Array, Array], tuple]:
    out = _sum_rotated(cos_sums, sin_sums, cos, sin, neighbours.inputs)
    return out, (cos_sums, sin_sums, cos, sin, neighbours)


def _rotated_backward(
    saved: tuple, cotangents: tuple[Array, Array]
) -> tuple[Array, Array, Array, Array, None]:
    cos_sums, sin_sums, cos, sin, neighbours = saved
    of_cos, of_sin = cotangents
    back = _sum_rotated(of_cos, of_sin, cos, -sin, neighbours.outputs)

    def of_angle(read: Array) -> tuple[Array, Array]:
        c, s = gather_rows(cos_sums, read), gather_rows(sin_sums, read)
        return (
            jnp.sum(of_cos * c + of_sin * s, axis=(0, 1)),
            jnp.sum(of_sin * c - of_cos * s, axis=(0, 1)),
        )

    angles = jax.lax.map(of_angle, jnp.moveaxis(neighbours.inputs, 1, 0))
    return (*back, *angles, None)


rotated_neighbour_sum.defvjp(_rotated_forward, _rotated_backward)
