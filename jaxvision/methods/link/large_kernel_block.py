"""The LinK block: a linear large kernel beside a 3x3x3 convolution (section 3.3)."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.nn.initializers import torch_default_kernel
from jaxvision.nn.linear import linear, logical
from jaxvision.nn.normalization import LayerNorm
from jaxvision.nn.sparse import SparseConvolution
from jaxvision.ops.sparse_voxels import KernelMap, Sites
from jaxvision.ops.voxel_aggregation import BlockMap, Form, aggregate

# Published networks feed the position projection differently: whole coordinates of the finest
# level, or those of the block's own level.
PositionUnit = Literal["finest", "level"]


def mix_channels(x: Float[Array, "s v c"], dtype: jnp.dtype) -> Float[Array, "s v c"]:
    """The linear map and norm before an aggregation, as `pre_mix` and `pre_norm` of the module that
    calls this."""
    mix = linear(
        x.shape[-1],
        ("embed", "mlp"),
        dtype=dtype,
        kernel=torch_default_kernel(),
        bias=None,
        name="pre_mix",
    )
    return LayerNorm(dtype=dtype, name="pre_norm")(mix(x))


# Of the projection of positions, (3, channels).
position_init = logical(torch_default_kernel(in_axis=0), None, "mlp")


class LargeKernelBlock(nn.Module):
    """ReLU(LayerNorm(aggregation) + LayerNorm(local convolution)); no residual.

    form: kernel of the aggregation, see `aggregate`.
    groups: the projection has channels / groups rows, repeated as a whole over the channels.
    projection_rows: rows of the stored projection where they exceed channels / groups (the
        detector's blocks store more than they read).
    learned_scale: a factor per row of the projection (`alpha`, the published cos_x).
    """

    form: Form
    groups: int = 1
    projection_rows: int | None = None
    learned_scale: bool = False
    position_unit: PositionUnit = "finest"
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "s v c"],
        sites: Sites,
        neighbours: KernelMap | None,
        blocks: BlockMap | None,
    ) -> Float[Array, "s v c"]:
        """neighbours, blocks: of the level's voxels `sites`, for the local convolution and for the
        aggregation. ValueError where the level has no blocks."""
        if blocks is None:
            raise ValueError("LargeKernelBlock: the level has no blocks (no LevelCapacities.edge)")
        channels = x.shape[-1]
        mixed = mix_channels(x, self.dtype)
        local = SparseConvolution(channels, 27, dtype=self.dtype, name="local_mix")(x, neighbours)
        projection = self._projection(channels)
        if self.position_unit == "finest":
            projection = projection * jnp.asarray(sites.stride, jnp.float32)
        wide = aggregate(mixed, projection, sites, blocks, self.form)
        wide, local = (
            LayerNorm(dtype=self.dtype, name=name)(value)
            for name, value in (("norm", wide), ("norm_local", local))
        )
        return jax.nn.relu(wide + local)

    def _projection(self, channels: int) -> Float[Array, "c 3"]:
        """Phase per voxel of each channel; float32 whatever the compute dtype."""
        used = channels // self.groups
        rows = self.projection_rows or used
        kernel = self.param("position", position_init, (3, rows))
        projection = kernel[:, :used].T
        if self.learned_scale:
            alpha = self.param("alpha", nn.initializers.ones, (used,))
            projection = projection * alpha[:, None]
        return jnp.tile(projection, (self.groups, 1))
