"""The whole detector: sparse backbone, neck, head (VoxelNet with CenterPoint's head)."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.methods.link.detection.backbone import MOMENTUM, DetectionBackbone, Version
from jaxvision.methods.link.detection.center_head import CenterHead, Predictions
from jaxvision.methods.link.detection.pyramid import DetectionLevel
from jaxvision.methods.link.detection.rpn import RPN
from jaxvision.ops.voxel_aggregation import Form


class Detector(nn.Module):
    """Mean point of every voxel to raw maps of every task, at an eighth of the grid's resolution.

    classes: of each task.  planes: channels of the backbone's stages.  neck_widths: of the neck's
    two blocks.  joined_width: of each of their maps when joined.  head_width: of the head.
    momentum: of the running statistics of backbone and neck (the head's is 0.1).
    """

    classes: tuple[int, ...]
    velocity: bool = True
    version: Version = "elkv3"
    form: Form = "cos"
    planes: tuple[int, ...] = (16, 32, 64, 128)
    neck_layers: int = 5
    neck_widths: tuple[int, int] = (128, 256)
    joined_width: int = 256
    head_width: int = 64
    norm_groups: int = 1
    dtype: jnp.dtype = jnp.float32
    momentum: float = MOMENTUM

    def setup(self):
        shared = {"norm_groups": self.norm_groups, "dtype": self.dtype}
        momentum = {"momentum": self.momentum}
        self.backbone = DetectionBackbone(
            self.version, self.planes, self.form, **shared, **momentum
        )
        self.neck = RPN(
            (self.neck_layers,) * 2,
            widths=self.neck_widths,
            upsampled_widths=(self.joined_width,) * 2,
            **shared,
            **momentum,
        )
        self.head = CenterHead(self.classes, self.velocity, self.head_width, **shared)

    def __call__(
        self,
        x: Float[Array, "s v f"],
        levels: tuple[DetectionLevel, ...],
        train: bool = False,
    ) -> Predictions:
        """One scan a shard. x: x, y, z, intensity, time of each voxel's mean point."""
        return self.with_features(x, levels, 1, train)[0]

    def with_features(
        self,
        x: Float[Array, "s v f"],
        levels: tuple[DetectionLevel, ...],
        scans: int = 1,
        train: bool = False,
    ) -> tuple[Predictions, dict[str, Array]]:
        """Also the backbone's stages, its map `bev`, and the neck's map `neck`."""
        bev, found = self.backbone(x, levels, scans, train)
        neck = self.neck(bev, train)
        return self.head(neck, train), found | {"bev": bev, "neck": neck}
