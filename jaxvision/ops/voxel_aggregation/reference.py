"""LinK's aggregation in plain JAX (LinK, section 3.2 and equations 4 to 6).

With the phase p of a voxel split into its block's and its place inside the block, cos(p_i - p_j)
needs only sums of G cos and G sin of *local* phases per block, each turned by the constant phase of
a block offset. This is exact, and no phase of hundreds of radians arises.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.ops.sparse_voxels import Sites
from jaxvision.ops.voxel_aggregation.block_sums import (
    block_sum,
    neighbour_sum,
    of_block,
    rotated_neighbour_sum,
)
from jaxvision.ops.voxel_aggregation.blocks import BlockMap, local_waves, phases
from jaxvision.ops.voxel_aggregation.forms import Form


def aggregate(
    features: Float[Array, "s v c"],
    projection: Float[Array, "c 3"],
    sites: Sites,
    blocks: BlockMap,
    form: Form,
) -> Float[Array, "s v c"]:
    """See `jaxvision.ops.voxel_aggregation.aggregate`; everything between is float32."""
    values = features.astype(jnp.float32)
    like = jnp.zeros((*blocks.counts.shape, 0), jnp.float32)
    share = 1 / jnp.maximum(blocks.reach_counts, 1)[..., None].astype(jnp.float32)
    if form == "mean":
        total = neighbour_sum(
            block_sum(values, blocks.block_of, like), blocks.neighbours, blocks.blocks.count
        )
        return of_block(total * share, blocks.block_of).astype(features.dtype)
    out = jnp.zeros_like(values)
    if form in ("cos", "sin", "cos_sin", "cos_x"):
        cos, sin = local_waves(blocks, projection)
        channels = values.shape[-1]
        sums = block_sum(
            jnp.concatenate([values * cos, values * sin], axis=-1), blocks.block_of, like
        )
        offset = phases(blocks.offsets, projection)
        totals = rotated_neighbour_sum(
            sums, jnp.cos(offset), jnp.sin(offset), blocks.neighbours, blocks.blocks.count
        )
        means = of_block(totals * share, blocks.block_of)
        mean_cos, mean_sin = means[..., :channels], means[..., channels:]
        if form != "sin":
            out += mean_cos * cos + mean_sin * sin
        if form in ("sin", "cos_sin"):
            out += mean_sin * cos - mean_cos * sin
    if form in ("x", "cos_x"):
        weighted = values * phases(sites.coords[..., 1:], projection)
        total = neighbour_sum(
            block_sum(weighted, blocks.block_of, like), blocks.neighbours, blocks.blocks.count
        )
        out += of_block(total * share, blocks.block_of) - weighted
    return jnp.where(sites.valid[..., None], out, 0).astype(features.dtype)
