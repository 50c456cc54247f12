"""The segmentation networks: LinK U-Net, LinK encoder, and their MinkUNet baseline."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.methods.link.large_kernel_block import LargeKernelBlock
from jaxvision.methods.link.levels import LEVELS
from jaxvision.methods.link.segmentation.pyramid import Level
from jaxvision.nn.initializers import torch_default_bias, torch_default_kernel
from jaxvision.nn.sparse import ConvolutionNorm, SparseResidualBlock
from jaxvision.ops.sparse_voxels import devoxelise_nearest
from jaxvision.ops.voxel_aggregation import Form

Network = Literal["linkunet", "linkencoder", "minkunet"]
NETWORKS: tuple[Network, ...] = ("linkunet", "linkencoder", "minkunet")
# Hidden channels of the encoder network's head, and its groups: one a level.
HEAD = 120


class SegmentationNetwork(nn.Module):
    """Voxel features to class scores, at five levels of equal width.

    network: "linkunet" decodes as a U-Net; "linkencoder" brings every level back to the finest
        voxels and classifies there; "minkunet" is the U-Net without large kernels.
    width: channels of every level (64 times `cr` in the published configs).
    form, groups: of the large-kernel blocks.
    """

    network: Network
    classes: int
    width: int = 64
    form: Form = "cos_x"
    groups: int = 1
    norm_groups: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "s v f"],
        levels: tuple[Level, ...],
        train: bool = False,
        features: bool = False,
    ) -> Float[Array, "s v k"] | tuple[Float[Array, "s v k"], dict[str, Float[Array, "s w c"]]]:
        """Logits of the finest voxels. features: also {x0..x4: encoder, y1..y4: decoder levels}."""
        found = self._encode(x.astype(self.dtype), levels, train)
        if self.network == "linkencoder":
            logits = self._classify_levels(found, levels)
        else:
            decoded = self._decode(found, levels, train)
            found |= decoded
            logits = self._linear("classifier", self.classes)(decoded[f"y{LEVELS - 1}"])
        logits = logits.astype(jnp.float32)
        return (logits, found) if features else logits

    def _layer(
        self, name: str, volume: int = 27, transposed: bool = False, relu: bool = True
    ) -> ConvolutionNorm:
        return ConvolutionNorm(
            self.width,
            volume,
            transposed=transposed,
            relu=relu,
            norm_groups=self.norm_groups,
            dtype=self.dtype,
            name=name,
        )

    def _residual(self, name: str) -> SparseResidualBlock:
        return SparseResidualBlock(self.width, self.norm_groups, self.dtype, name=name)

    def _linear(self, name: str, outputs: int) -> nn.Dense:
        return nn.Dense(
            outputs,
            dtype=self.dtype,
            kernel_init=nn.with_logical_partitioning(torch_default_kernel(), ("embed", None)),
            bias_init=torch_default_bias(self.width),
            name=name,
        )

    def _encode(
        self, x: Float[Array, "s v f"], levels: tuple[Level, ...], train: bool
    ) -> dict[str, Float[Array, "s w c"]]:
        finest = levels[0]
        for number in (0, 1):
            x = self._layer(f"stem_{number}")(x, finest.neighbours, finest.sites.valid, train)
        found = {"x0": x}
        for number, level in enumerate(levels[1:], 1):
            maps = level.neighbours, level.sites.valid, train
            x = self._layer(f"down{number}", 8)(x, level.down, level.sites.valid, train)
            deep = x
            for block in (0, 1):
                deep = self._residual(f"stage{number}_{block}")(deep, *maps)
            if self.network == "minkunet":
                x = deep
            else:
                wide = LargeKernelBlock(
                    self.form,
                    self.groups,
                    learned_scale=self.form == "cos_x",
                    # Upstream divides by the stride in this one network and for this one form.
                    position_unit="level"
                    if self.network == "linkencoder" and self.form == "cos_x"
                    else "finest",
                    dtype=self.dtype,
                    name=f"wide{number}",
                )(x, level.sites, level.neighbours, level.blocks)
                deep = self._layer(f"stage{number}_tail", relu=False)(deep, *maps)
                wide = self._layer(f"wide{number}_tail", relu=False)(wide, *maps)
                x = jax.nn.relu(deep + wide)
            found[f"x{number}"] = x
        return found

    def _decode(
        self, found: dict[str, Float[Array, "s w c"]], levels: tuple[Level, ...], train: bool
    ) -> dict[str, Float[Array, "s w c"]]:
        y = found[f"x{LEVELS - 1}"]
        decoded = {}
        for number in range(1, LEVELS):
            coarse, fine = levels[LEVELS - number], levels[LEVELS - 1 - number]
            if coarse.down is None:
                raise ValueError("SegmentationNetwork: a coarse level lacks its map from below")
            maps = fine.neighbours, fine.sites.valid, train
            y = self._layer(f"up{number}", 8, transposed=True)(
                y, coarse.down.transpose(), fine.sites.valid, train
            )
            y = jnp.concatenate([y, found[f"x{LEVELS - 1 - number}"]], axis=-1)
            for block in (0, 1):
                y = self._residual(f"up{number}_{block}")(y, *maps)
            decoded[f"y{number}"] = y
        return decoded

    def _classify_levels(
        self, found: dict[str, Float[Array, "s w c"]], levels: tuple[Level, ...]
    ) -> Float[Array, "s v k"]:
        """A linear map of each level's voxels, at the finest voxels that they contain, and classes.

        Upstream brings features to the finest voxels and maps them there: the same, of more rows.
        """
        kernel = self.param(
            "head_kernel",
            nn.with_logical_partitioning(torch_default_kernel(), (None, "embed", "mlp")),
            (LEVELS, self.width, HEAD // LEVELS),
        )
        bias = self.param("head_bias", torch_default_bias(self.width), (HEAD,))
        parts = [
            devoxelise_nearest(found[f"x{number}"] @ weight, levels[number].containing)
            for number, weight in zip(
                reversed(range(LEVELS)), kernel.astype(self.dtype), strict=True
            )
        ]
        hidden = jax.nn.relu(jnp.concatenate(parts, axis=-1) + bias.astype(self.dtype))
        return nn.Dense(
            self.classes,
            dtype=self.dtype,
            kernel_init=nn.with_logical_partitioning(torch_default_kernel(), ("mlp", None)),
            bias_init=torch_default_bias(HEAD),
            name="classifier",
        )(hidden)
