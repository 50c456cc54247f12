"""CamLiRAFT and its siblings in PyTorch: all correlations once, then iterations."""

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from camliflow_clouds_torch import (
    cloud_levels,
    correspond,
    interpolated,
    interpolation,
    metric,
)
from camliflow_layers_torch import Layers, convex
from points_and_flow_torch import gathered, nearest
from torch.nn import functional as F

from jaxvision.methods.camliflow.inverse_depth import Sensors
from jaxvision.methods.camliflow.model import IMAGENET_MEAN, IMAGENET_STD, POINT_SENSOR
from jaxvision.methods.camliflow.variants import RaftConfig

Tensor = torch.Tensor
GATES = "zrq"
# Official names of the point layers whose weights depend on where points are alone, and how many
# neighbours each has.
POINT_LAYERS = {
    "motion_encoder.conv_c1": 16,
    "motion_encoder.conv_f1": 32,
    "motion_encoder.conv_f2": 16,
    "motion_encoder.conv": 16,
    "gru.conv_z": 4,
    "gru.conv_r": 4,
    "gru.conv_q": 4,
    "flow_head.conv1": 32,
    "flow_head.conv2": 32,
}


class Points(NamedTuple):
    """What the branch of points has before its first iteration."""

    volumes: list[Tensor]
    xyz1: Tensor
    xyz2: list[Tensor]
    given: Tensor
    neighbours: Tensor
    weights: dict[str, Tensor]


class RaftNetwork(Layers):
    """CamLiRAFT and its siblings: images [b, 2, h, w, 3], 0 to 255, clouds [b, 2, n, 3], camera
    [b, 3] -> the flow of pixels [b, h, w, 2] and of points [b, n, 3]; None where there is no such
    branch."""

    def __init__(self, config: RaftConfig, weights: Mapping[str, np.ndarray]):
        super().__init__(config, weights)
        fused = config.images and config.points
        self.pixels = "core.branch_2d" if fused else "core"
        self.points = "core.branch_3d" if fused else "core"

    def _resnet(self, name: str, image: Tensor) -> Tensor:
        x = F.relu(self._norm(f"{name}.bn1", self._conv(f"{name}.conv1", image, 2)))
        x = F.max_pool2d(x, 3, 2, 1)
        for stage, blocks in enumerate(self.config.blocks, 1):
            for block in range(blocks):
                at = f"{name}.layer{stage}.{block}"
                stride = 2 if stage > 1 and not block else 1
                y = F.relu(self._norm(f"{at}.bn1", self._conv(f"{at}.conv1", x)))
                y = F.relu(self._norm(f"{at}.bn2", self._conv(f"{at}.conv2", y, stride)))
                y = self._norm(f"{at}.bn3", self._conv(f"{at}.conv3", y))
                if not block:
                    x = self._conv(f"{at}.downsample.0", x, stride)
                    x = self._norm(f"{at}.downsample.1", x)
                x = F.relu(x + y)
        return self._unit(f"{name}.align", x)

    def _pixel_step(self, correlations: Tensor, flow: Tensor) -> Tensor:
        at = f"{self.pixels}.motion_encoder"
        of_corr = F.relu(self._conv(f"{at}.conv_c1", correlations))
        of_corr = F.relu(self._conv(f"{at}.conv_c2", of_corr))
        of_flow = F.relu(self._conv(f"{at}.conv_f2", F.relu(self._conv(f"{at}.conv_f1", flow))))
        both = F.relu(self._conv(f"{at}.conv", torch.cat([of_corr, of_flow], 1)))
        return torch.cat([both, flow], 1)

    def _pixel_gru(self, hidden: Tensor, given: Tensor) -> Tensor:
        for number in (1, 2):
            z, r, q = (f"{self.pixels}.gru.conv{gate}{number}" for gate in GATES)
            both = torch.cat([hidden, given], 1)
            update = torch.sigmoid(self._conv(z, both))
            reset = torch.sigmoid(self._conv(r, both))
            new = torch.tanh(self._conv(q, torch.cat([reset * hidden, given], 1)))
            hidden = (1 - update) * hidden + update * new
        return hidden

    def _upsample(self, hidden: Tensor, flow: Tensor) -> Tensor:
        at = f"{self.pixels}.convex_upsampler.mask"
        mask = 0.25 * self._conv(f"{at}.2", F.relu(self._conv(f"{at}.0", hidden)))
        return convex(mask, flow, 8)

    def _depthwise(self, name: str, x: Tensor, points: Points, activation: str = "leaky") -> Tensor:
        at, near = f"{self.points}.{name}", points.neighbours[..., : POINT_LAYERS[name]]
        x = self._unit(f"{at}.mlp.convs.0", x, activation)
        return (gathered(x, near) * points.weights[name]).amax(2)

    def _point_correlations(self, points: Points, flow: Tensor) -> Tensor:
        moved, found = points.xyz1 + flow, []
        for volume, xyz2 in zip(points.volumes, points.xyz2, strict=True):
            xyz2 = xyz2 - interpolated(flow, *interpolation(moved, xyz2))
            near = nearest(xyz2, points.xyz1, 16).indices
            offset = gathered(xyz2, near) - points.xyz1[:, :, None]
            cost = torch.cat([offset, volume.gather(2, near)[..., None]], -1)
            found.append(self._mlp(f"{self.points}.correlation.cost_mlp", cost, 2, "relu").sum(2))
        return self._unit(f"{self.points}.correlation.merge", torch.cat(found, -1))

    def _point_step(self, correlations: Tensor, flow: Tensor, points: Points) -> Tensor:
        of_corr = self._depthwise("motion_encoder.conv_c1", correlations, points)
        of_flow = self._depthwise("motion_encoder.conv_f1", flow, points)
        of_flow = self._depthwise("motion_encoder.conv_f2", of_flow, points)
        both = torch.cat([of_corr, of_flow], -1)
        return torch.cat([self._depthwise("motion_encoder.conv", both, points), flow], -1)

    def _point_gru(self, hidden: Tensor, given: Tensor, points: Points) -> Tensor:
        z, r, q = (f"gru.conv_{gate}" for gate in GATES)
        both = torch.cat([hidden, given], -1)
        update = torch.sigmoid(self._depthwise(z, both, points, "none"))
        reset = torch.sigmoid(self._depthwise(r, both, points, "none"))
        both = torch.cat([reset * hidden, given], -1)
        new = torch.tanh(self._depthwise(q, both, points, "none"))
        return (1 - update) * hidden + update * new

    def _point_head(self, hidden: Tensor, points: Points) -> Tensor:
        x = self._depthwise("flow_head.conv1", hidden, points)
        x = self._depthwise("flow_head.conv2", x, points)
        return self._linear(f"{self.points}.flow_head.fc", x)

    @torch.inference_mode()
    def __call__(self, images: Tensor, clouds: Tensor, camera: Tensor, iterations: int) -> tuple:
        config, maps, pairs, volumes = self.config, None, [], []
        points = given_2d = hidden_2d = flow_2d = flow_3d = hidden_3d = up = None
        # 1. What does not change over the iterations.
        if config.images:
            size = images.shape[2:4]
            frames, left = prepared(images, normalised=config.points)
            inner = frames.shape[-2:]
            b = len(images)
            maps = self._resnet(f"{self.pixels}.fnet", frames).unflatten(0, (2, b))
            context_2d = self._resnet(f"{self.pixels}.cnet", frames[:b])
            grid = torch.stack(
                torch.meshgrid(*(torch.arange(s) for s in maps.shape[:2:-1]), indexing="xy")
            )
        if config.points:
            sensors = Sensors.of(POINT_SENSOR, POINT_SENSOR)
            if config.images:
                sensors = Sensors.of(tuple(inner), tuple(inner))
            levels = cloud_levels(clouds, camera, sensors, config.pyramid)
            b = len(clouds)
            features = self._pyramid(f"{self.points}.fnet", levels[:3])[-1].unflatten(0, (2, b))
            first = [level[:b] for level in levels[:3]]
            context_3d = self._pyramid(f"{self.points}.cnet", first)[-1]
            coarse = levels[2].unflatten(0, (2, b))
        if config.fused:
            pairs = [correspond(cloud, sensors, tuple(maps.shape[-2:])) for cloud in coarse]
            fused = [
                self._fuse("core.clfm_fnet", *frame)
                for frame in zip(maps, features, pairs, strict=True)
            ]
            maps, features = (torch.stack(each) for each in zip(*fused, strict=True))
            context_2d, context_3d = self._fuse("core.clfm_cnet", context_2d, context_3d, pairs[0])
        if config.images:
            name = f"{self.pixels}.correlation.fnet_aligner"
            volumes = pixel_volumes(*(self._conv(name, each) for each in maps))
            aligned = self._conv(f"{self.pixels}.cnet_aligner", context_2d)
            hidden_2d, given_2d = aligned.chunk(2, 1)
            hidden_2d, given_2d = torch.tanh(hidden_2d), F.relu(given_2d)
            flow_2d = torch.zeros_like(hidden_2d[:, :2])
        if config.points:
            aligned = self._linear(f"{self.points}.cnet_aligner", context_3d)
            hidden_3d, given_3d = aligned.chunk(2, -1)
            hidden_3d = torch.tanh(hidden_3d)
            xyz2 = [level[b:] for level in levels[2:]]
            near = nearest(coarse[0], coarse[0], 32).indices
            offsets = gathered(coarse[0], near) - coarse[0][:, :, None]
            weights = {
                name: self._mlp(f"{self.points}.{name}.weight_net", offsets[:, :, :k], 3, "relu")
                for name, k in POINT_LAYERS.items()
            }
            volume = point_volumes(features[0], features[1], xyz2)
            points = Points(volume, coarse[0], xyz2, F.relu(given_3d), near, weights)
            flow_3d = torch.zeros_like(coarse[0])
        # 2. The iterations.
        for _ in range(iterations):
            corr_2d = corr_3d = None
            if config.images:
                corr_2d = pixel_lookup(volumes, grid + flow_2d)
            if config.points:
                corr_3d = self._point_correlations(points, flow_3d)
            if config.fuse_correlation:
                corr_2d, corr_3d = self._fuse("core.clfm_corr", corr_2d, corr_3d, pairs[0])
            if config.images:
                motion_2d = self._pixel_step(corr_2d, flow_2d)
            if config.points:
                motion_3d = self._point_step(corr_3d, flow_3d, points)
            if config.fuse_motion:
                motion_2d, motion_3d = self._fuse(
                    "core.clfm_motion", motion_2d, motion_3d, pairs[0]
                )
            if config.images:
                hidden_2d = self._pixel_gru(hidden_2d, torch.cat([given_2d, motion_2d], 1))
                head = f"{self.pixels}.flow_head"
                moved = F.relu(self._conv(f"{head}.conv1", hidden_2d))
                flow_2d = flow_2d + self._conv(f"{head}.conv2", moved)
                up = self._upsample(hidden_2d, flow_2d)
            if config.points:
                given = torch.cat([points.given, motion_3d], -1)
                hidden_3d = self._point_gru(hidden_3d, given, points)
                flow_3d = flow_3d + self._point_head(hidden_3d, points)
        # 3. Answers.
        found_2d = found_3d = None
        if config.images:
            found_2d = up[..., : size[0], left : left + size[1]].permute(0, 2, 3, 1)
        if config.points:
            start = levels[0][:b]
            flow = interpolated(flow_3d, *interpolation(points.xyz1, start))
            found_3d = metric(start, flow, camera, sensors)
        return found_2d, found_3d


def prepared(images: Tensor, normalised: bool) -> tuple[Tensor, int]:
    """(both frames [2b, 3, h, w], padded and scaled as the encoders take them, columns added on the
    left)."""
    frames = images.transpose(0, 1).flatten(0, 1).permute(0, 3, 1, 2).float()
    down, across = -frames.shape[2] % 8, -frames.shape[3] % 8
    left = across // 2
    frames = F.pad(frames, (left, across - left, 0, down), mode="replicate")
    if not normalised:
        return frames / 127.5 - 1, left
    mean, deviation = (torch.from_numpy(x)[:, None, None] for x in (IMAGENET_MEAN, IMAGENET_STD))
    return (frames - mean) / deviation, left


def pixel_volumes(first: Tensor, second: Tensor, levels: int = 4) -> list[Tensor]:
    """Correlations of all pairs [b * h * w, 1, hi, wi] at every level."""
    _, c, height, width = first.shape
    volume = first.flatten(2).mT @ second.flatten(2) / c**0.5
    found = [volume.reshape(-1, 1, height, width)]
    for _ in range(levels - 1):
        found.append(F.avg_pool2d(found[-1], 2))
    return found


def pixel_lookup(volumes: list[Tensor], where: Tensor, radius: int = 4) -> Tensor:
    b, _, height, width = where.shape
    steps = torch.arange(-radius, radius + 1)
    window = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1)
    where, found = where.permute(0, 2, 3, 1).reshape(-1, 1, 1, 2), []
    for level, volume in enumerate(volumes):
        last = torch.tensor([volume.shape[3] - 1, volume.shape[2] - 1])
        places = 2 * (where / 2**level + window) / last - 1
        read = F.grid_sample(volume, places, align_corners=True)
        found.append(read.reshape(b, height, width, -1))
    return torch.cat(found, -1).permute(0, 3, 1, 2)


def point_volumes(first: Tensor, second: Tensor, clouds: list[Tensor]) -> list[Tensor]:
    """Correlations of all pairs [b, n, mi] at every level: means over three points of the one
    before."""
    found = [first @ second.mT / first.shape[-1]]
    for fine, coarse in pairwise(clouds):
        near = nearest(fine, coarse, 3).indices
        found.append(gathered(found[-1].mT, near).mean(2).mT)
    return found
