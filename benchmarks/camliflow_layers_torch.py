"""Layers of CamLiFlow's networks in PyTorch, on official weight names."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from camliflow_clouds_torch import Pairs
from points_and_flow_torch import gathered, nearest
from torch.nn import functional as F

from jaxvision.methods.camliflow.variants import PwcConfig, RaftConfig

Tensor = torch.Tensor
ACTIVATIONS = {
    "leaky": lambda x: F.leaky_relu(x, 0.1),
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "none": lambda x: x,
}


class Layers:
    """What both kinds of networks are made of, for evaluation alone; weights by official names."""

    def __init__(self, config: RaftConfig | PwcConfig, weights: Mapping[str, np.ndarray]):
        self.config: Any = config
        self.tensors = {name: torch.from_numpy(np.array(x)) for name, x in weights.items()}

    def _conv(self, name: str, x: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
        kernel = self.tensors[f"{name}.weight"]
        padding = [dilation * (side // 2) for side in kernel.shape[2:]]
        return F.conv2d(x, kernel, self.tensors.get(f"{name}.bias"), stride, padding, dilation)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        kernel = self.tensors[f"{name}.weight"].flatten(1)
        return F.linear(x, kernel, self.tensors.get(f"{name}.bias"))

    def _norm(self, name: str, x: Tensor) -> Tensor:
        found = [self.tensors[f"{name}.{part}"] for part in ("running_mean", "running_var")]
        return F.batch_norm(x, *found, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])

    def _unit(
        self, name: str, x: Tensor, activation: str = "leaky", stride: int = 1, dilation: int = 1
    ) -> Tensor:
        """Of pixels [b, c, h, w] or of points [b, n, c]."""
        if x.ndim == 4:
            x = self._conv(f"{name}.conv_fn", x, stride, dilation)
            if f"{name}.norm_fn.weight" in self.tensors:
                x = self._norm(f"{name}.norm_fn", x)
            return ACTIVATIONS[activation](x)
        x = self._linear(f"{name}.conv_fn", x)
        if f"{name}.norm_fn.weight" in self.tensors:
            x = self._norm(f"{name}.norm_fn", x.flatten(0, -2)).reshape(x.shape)
        return ACTIVATIONS[activation](x)

    def _mlp(self, name: str, x: Tensor, layers: int, activation: str = "leaky") -> Tensor:
        for number in range(layers):
            x = ACTIVATIONS[activation](self._linear(f"{name}.convs.{number}.conv_fn", x))
        return x

    def _point_conv(
        self, name: str, xyz: Tensor, x: Tensor, near: Tensor, centres: Tensor
    ) -> Tensor:
        offsets = gathered(xyz, near) - centres[:, :, None]
        weights = self._mlp(f"{name}.weight_net", offsets, 2)
        grouped = gathered(torch.cat([xyz, x], -1), near)
        x = self._linear(f"{name}.linear", (weights.mT @ grouped).flatten(2))
        if f"{name}.norm_fn.weight" in self.tensors:
            x = self._norm(f"{name}.norm_fn", x.flatten(0, 1)).reshape(x.shape)
        return ACTIVATIONS["leaky"](x)

    def _pyramid(self, name: str, clouds: list[Tensor], part: str = "") -> list[Tensor]:
        """Features of every cloud. part: what its layers' names begin with."""
        found = [self._mlp(f"{name}.level0_mlp", clouds[0], 2)]
        for level, (fine, coarse) in enumerate(pairwise(clouds)):
            x = self._mlp(f"{name}.{part}mlps.{level}", found[-1], 2)
            near = nearest(fine, coarse, 16).indices
            found.append(self._point_conv(f"{name}.{part}convs.{level}", fine, x, near, coarse))
        return found

    def _fuse(self, name: str, image: Tensor, points: Tensor, pairs: Pairs) -> tuple:
        b, _, height, width = image.shape
        score = self._unit(f"{name}.interp.score_net.0", pairs.offset)
        score = self._unit(f"{name}.interp.score_net.1", score, "sigmoid")
        taken = gathered(points, pairs.nearest)[:, :, 0].mT.reshape(b, -1, height, width)
        of_points = self._unit(f"{name}.interp.out_conv", score * taken)
        of_image = F.grid_sample(image, pairs.uv[:, :, None], align_corners=True)[..., 0].mT
        of_image = self._unit(f"{name}.mlps3d", of_image)
        return (
            self._mix(f"{name}.fuse2d", image, of_points),
            self._mix(f"{name}.fuse3d", of_image, points),
        )

    def _mix(self, name: str, of_image: Tensor, of_points: Tensor) -> Tensor:
        a, b = self._unit(f"{name}.align1", of_image), self._unit(f"{name}.align2", of_points)
        pixels = a.ndim == 4
        mean = (a + b).mean((2, 3) if pixels else 1)
        hidden = F.relu(self._linear(f"{name}.fc_mid.0", mean))
        share = torch.sigmoid(self._linear(f"{name}.fc_out.0", hidden))
        share = share.reshape(len(mean), -1, 2).softmax(-1)
        first, second = (
            s[:, :, None, None] if pixels else s[:, None] for s in (share[..., 0], share[..., 1])
        )
        return a * first + b * second


def convex(mask: Tensor, flow: Tensor, factor: int) -> Tensor:
    """Flow upsampled by weights of its nine neighbours."""
    b, _, height, width = flow.shape
    share = mask.reshape(b, 1, 9, factor, factor, height, width).softmax(2)
    around = F.unfold(factor * flow, 3, padding=1).reshape(b, 2, 9, 1, 1, height, width)
    up = (share * around).sum(2).permute(0, 1, 4, 2, 5, 3)
    return up.reshape(b, 2, factor * height, factor * width)
