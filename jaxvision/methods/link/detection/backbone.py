"""The detector's sparse backbones: CenterPoint's baseline and its three versions with LinK blocks.

elkv1: a block behind each stage.  elkv2: an aggregation beside the convolutions inside the blocks
of the first three stages.  elkv3 (published results): a block beside each whole stage.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from jaxvision.methods.link.detection.pyramid import STAGES, DetectionLevel
from jaxvision.methods.link.large_kernel_block import (
    LargeKernelBlock,
    mix_channels,
    position_init,
)
from jaxvision.nn.normalization import BatchNorm
from jaxvision.nn.sparse import ConvolutionNorm, SparseConvolution
from jaxvision.ops.sparse_voxels import KernelMap, dense_grid
from jaxvision.ops.voxel_aggregation import Form, aggregate

Version = Literal["baseline", "elkv1", "elkv2", "elkv3"]
VERSIONS: tuple[Version, ...] = ("baseline", "elkv1", "elkv2", "elkv3")
EPSILON = 1e-3  # of every batch norm here
MOMENTUM = 0.01  # weight of a batch in the running statistics, as published
Features = Float[Array, "s v c"]


def norm_settings(module: Any) -> dict[str, Any]:
    """Settings of `module` that its convolutions' batch norms share."""
    return {
        "norm_groups": module.norm_groups,
        "dtype": module.dtype,
        "momentum": module.momentum,
        "epsilon": EPSILON,
    }


class BasicBlock(nn.Module):
    """conv-BN-ReLU-conv-BN plus identity, then ReLU; convolutions with bias."""

    norm_groups: int = 1
    dtype: jnp.dtype = jnp.float32
    momentum: float = MOMENTUM

    @nn.compact
    def __call__(
        self, x: Features, neighbours: KernelMap, valid: Bool[Array, "s v"], train: bool
    ) -> Features:
        y = x
        for name, relu in (("first", True), ("second", False)):
            settings = norm_settings(self)
            layer = ConvolutionNorm(x.shape[-1], relu=relu, bias=True, **settings, name=name)
            y = layer(y, neighbours, valid, train)
        return jax.nn.relu(x + y)


class ParallelBlock(nn.Module):
    """elkv2: conv-BN-ReLU-conv-BN plus an aggregation through the same second norm, then ReLU.

    No identity, and one set of running statistics that both branches update in turn.
    """

    form: Form = "cos"
    norm_groups: int = 1
    dtype: jnp.dtype = jnp.float32
    momentum: float = MOMENTUM

    @nn.compact
    def __call__(self, x: Features, level: DetectionLevel, train: bool) -> Features:
        if level.blocks is None:
            raise ValueError("ParallelBlock: the level has no blocks (no LevelCapacities.edge)")
        channels, valid = x.shape[-1], level.sites.valid
        first = ConvolutionNorm(channels, bias=True, **norm_settings(self), name="first")
        y = first(x, level.neighbours, valid, train)
        y = SparseConvolution(channels, 27, dtype=self.dtype, bias=True, name="second")(
            y, level.neighbours
        )
        norm = BatchNorm(self.norm_groups, self.momentum, EPSILON, self.dtype, name="second_norm")
        y = norm(y, not train, valid)
        mixed = mix_channels(x, self.dtype)
        position = self.param("position", position_init, (3, channels))
        wide = aggregate(mixed, position.T, level.sites, level.blocks, self.form)
        return jax.nn.relu(y + norm(wide, not train, valid))


class DetectionBackbone(nn.Module):
    """Voxel features to a bird's-eye map, at strides 1, 2, 4 and 8.

    planes: channels of the four stages.
    """

    version: Version = "elkv3"
    planes: tuple[int, ...] = (16, 32, 64, 128)
    form: Form = "cos"
    norm_groups: int = 1
    dtype: jnp.dtype = jnp.float32
    momentum: float = MOMENTUM

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "s v f"],
        levels: tuple[DetectionLevel, ...],
        scans: int = 1,
        train: bool = False,
    ) -> tuple[Float[Array, "b h w d"], dict[str, Features]]:
        """Map (rows y, columns x, channels c * z + z), and the stages' features by official name.

        scans: scans in each shard; the map has shards x scans samples.
        """
        found: dict[str, Features] = {}
        finest = levels[0]
        x = self._layer("input", self.planes[0])(
            x.astype(self.dtype), finest.neighbours, finest.sites.valid, train
        )
        for number, level in enumerate(levels[:STAGES], 1):
            width = self.planes[number - 1]
            if number > 1:
                x = self._layer(f"down{number}", width)(x, level.down, level.sites.valid, train)
            x = self._stage(x, level, number, train, found)
            found[f"conv{number}"] = x
        flat = levels[STAGES]
        x = self._layer("flatten", self.planes[-1], 3)(x, flat.down, flat.sites.valid, train)
        grid = dense_grid(x, flat.sites, scans, flat.extent)
        shards, _, depth, height, width, channels = grid.shape
        grid = jnp.moveaxis(grid, 2, -1)  # z folds into the channels
        return grid.reshape(shards * scans, height, width, channels * depth), found

    def _layer(
        self, name: str, outputs: int, volume: int = 27, relu: bool = True
    ) -> ConvolutionNorm:
        return ConvolutionNorm(outputs, volume, relu=relu, **norm_settings(self), name=name)

    def _wide(self, number: int) -> LargeKernelBlock:
        return LargeKernelBlock(
            self.form,
            # These two forms read half of the stored projection, twice.
            2 if self.form in ("cos", "x") else 1,
            self.planes[number - 1],
            position_unit="level",
            dtype=self.dtype,
            name=f"wide{number}",
        )

    def _stage(
        self,
        x: Features,
        level: DetectionLevel,
        number: int,
        train: bool,
        found: dict[str, Features],
    ) -> Features:
        maps = level.neighbours, level.sites.valid, train
        deep = x
        for block in (0, 1):
            name = f"stage{number}_{block}"
            if self.version == "elkv2" and number < STAGES:
                deep = ParallelBlock(
                    self.form, self.norm_groups, self.dtype, self.momentum, name=name
                )(deep, level, train)
            else:
                deep = BasicBlock(self.norm_groups, self.dtype, self.momentum, name=name)(
                    deep, *maps
                )
        if self.version == "elkv1":
            return self._wide(number)(deep, level.sites, level.neighbours, level.blocks)
        if self.version != "elkv3":
            return deep
        width = self.planes[number - 1]
        deep = self._layer(f"stage{number}_tail", width, relu=False)(deep, *maps)
        wide = self._wide(number)(x, level.sites, level.neighbours, level.blocks)
        wide = self._layer(f"wide{number}_tail", width, relu=False)(wide, *maps)
        found |= {f"conv{number}_tail": deep, f"elk{number}_tail": wide}
        return jax.nn.relu(deep + wide)
