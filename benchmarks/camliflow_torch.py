"""CamLiFlow's networks in PyTorch, on official weight names: a yardstick for camliflow.py.

As in ours, what iterations do not change is made once; correlations are the published volumes.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from points_and_flow_torch import gathered, nearest, sampling
from torch.nn import functional as F

from jaxvision.methods.camliflow.estimators import DILATIONS
from jaxvision.methods.camliflow.inverse_depth import Sensors
from jaxvision.methods.camliflow.model import IMAGENET_MEAN, IMAGENET_STD, POINT_SENSOR
from jaxvision.methods.camliflow.pwc import CARRIED, WIDTHS
from jaxvision.methods.camliflow.variants import PwcConfig, RaftConfig

Tensor = torch.Tensor
GATES = "zrq"
ACTIVATIONS = {
    "leaky": lambda x: F.leaky_relu(x, 0.1),
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "none": lambda x: x,
}
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


class Pairs(NamedTuple):
    """uv: of points, -1 to 1 on the map.  nearest: each pixel's point [b, h * w, 1].  offset: from
    the pixel to it, and its length [b, 3, h, w]."""

    uv: Tensor
    nearest: Tensor
    offset: Tensor


class Points(NamedTuple):
    """What the branch of points has before its first iteration."""

    volumes: list[Tensor]
    xyz1: Tensor
    xyz2: list[Tensor]
    given: Tensor
    neighbours: Tensor
    weights: dict[str, Tensor]


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


class PwcNetwork(Layers):
    """CamLiPWC and its siblings: as `RaftNetwork`."""

    def _image_pyramid(self, name: str, frames: Tensor) -> list[Tensor]:
        found = [frames]
        for level in range(len(WIDTHS)):
            at = f"{name}.pyramid_convs.{level}"
            x = self._unit(f"{at}.conv0", found[-1], stride=2)
            x = self._unit(f"{at}.conv1", x, "none")
            shortcut = self._unit(f"{at}.down0", found[-1], "none", stride=2)
            found.append(ACTIVATIONS["leaky"](x + shortcut))
        return found[1:]

    def _point_cost(self, name: str, xyz: tuple, features: tuple, near: tuple) -> Tensor:
        """near: of the second cloud, of the first."""
        across, within = near
        offsets = gathered(xyz[1], across) - xyz[0][:, :, None]
        mine = features[0][:, :, None].expand(-1, -1, across.shape[2], -1)
        both = torch.cat([mine, gathered(features[1], across), offsets], -1)
        cost = self._mlp(f"{name}.cost_mlp", both, 2)
        cost = (self._mlp(f"{name}.weight_net2", offsets, 3, "relu") * cost).sum(2)
        offsets = gathered(xyz[0], within) - xyz[0][:, :, None]
        weights = self._mlp(f"{name}.weight_net1", offsets, 3, "relu")
        return (weights * gathered(cost, within)).sum(2)

    def _estimated(self, name: str, x: Tensor) -> Tensor:
        if not self.config.lite:
            for number in range(1, 6):
                x = torch.cat([self._unit(f"{name}.conv{number}", x), x], 1)
            return x
        found = [x]
        for number in range(1, 6):
            seen = found[-1] if number < 3 else torch.cat(found[-2:], 1)
            found.append(self._unit(f"{name}.conv{number}", seen))
        return torch.cat(found[-2:], 1)

    def _context(self, name: str, x: Tensor) -> tuple[Tensor, Tensor]:
        for number, dilation in enumerate(DILATIONS):
            x = self._unit(f"{name}.convs.{number}", x, dilation=dilation)
        return x, self._conv(f"{name}.conv_last", x)

    def _upsample(self, name: str, hidden: Tensor, flow: Tensor) -> Tensor:
        mask = self._conv(f"{name}.2", F.relu(self._conv(f"{name}.0", hidden)))
        return convex(mask, flow, 4)

    @torch.inference_mode()
    def __call__(self, images: Tensor, clouds: Tensor, camera: Tensor, iterations: int) -> tuple:
        config = self.config
        both = config.images and config.points
        pixels, points = ("core.branch_2d_", "core.branch_3d_") if both else ("core.", "core.")
        b, size = len(clouds if config.points else images), tuple(images.shape[2:4])
        flow_2d = of_image = flow_3d = of_points = None
        # 1. Features of both frames.
        if config.images:
            frames = images.transpose(0, 1).flatten(0, 1).permute(0, 3, 1, 2).float() / 255
            inner = tuple(-(-side // 64) * 64 for side in size)
            frames = F.interpolate(frames, inner, mode="bilinear", align_corners=True)
            maps = self._image_pyramid(f"{pixels}fnet" if both else "core.feature_pyramid", frames)
        if config.points:
            sensors = Sensors.of(POINT_SENSOR, POINT_SENSOR)
            if config.images:
                sensors = Sensors.of(size, inner)
            levels = cloud_levels(clouds, camera, sensors, config.pyramid)
            name = f"{points}fnet" if both else "core.feature_pyramid"
            features = self._pyramid(name, levels, "pyramid_")
        # 2. From coarse to fine.
        for level in range(len(WIDTHS) - 1, 0, -1):
            pair, cost_2d, cost_3d = None, None, None
            if config.images:
                first, second = maps[level][:b], maps[level][b:]
            if config.points:
                xyz1, xyz2 = levels[level][:b], levels[level][b:]
                point_1, point_2 = features[level][:b], features[level][b:]
            if both:
                grid = tuple(first.shape[-2:])
                pair, other = (correspond(xyz, sensors, grid) for xyz in (xyz1, xyz2))
                name = f"core.pyramid_clfms.{level}"
                first, point_1 = self._fuse(name, first, point_1, pair)
                second, point_2 = self._fuse(name, second, point_2, other)
            if config.images:
                aligned_2d = first
                if flow_2d is None:
                    flow_2d = first.new_zeros(b, 2, *first.shape[-2:])
                    of_image = first.new_zeros(b, CARRIED, *first.shape[-2:])
                else:
                    flow_2d, of_image = 2 * doubled(flow_2d), doubled(of_image)
                    second = warped(second, flow_2d)
                cost_2d = ACTIVATIONS["leaky"](local_costs(first, second))
            if config.points:
                if flow_3d is None:
                    flow_3d = torch.zeros_like(xyz1)
                    of_points = point_1.new_zeros(*xyz1.shape[:2], 64)
                else:
                    up = interpolation(levels[level + 1][:b], xyz1)
                    flow_3d, of_points = (interpolated(x, *up) for x in (flow_3d, of_points))
                    back = interpolation(xyz1 + flow_3d, xyz2)
                    xyz2 = xyz2 - interpolated(flow_3d, *back)
                near = nearest(xyz2, xyz1, 16).indices, nearest(xyz1, xyz1, 16).indices
                name = f"{points}correlations.{level}"
                cost_3d = self._point_cost(name, (xyz1, xyz2), (point_1, point_2), near)
            if both:
                cost_2d, cost_3d = self._fuse(f"core.corr_clfms.{level}", cost_2d, cost_3d, pair)
            if config.images:
                name = f"{pixels}{'fnet_aligners' if both else 'pyramid_feature_aligners'}.{level}"
                parts = [cost_2d, self._unit(name, aligned_2d), flow_2d]
                parts += [of_image] if both else []
                of_image = self._estimated(f"{pixels}flow_estimator", torch.cat(parts, 1))
            if config.points:
                name = f"{points}{'fnet_aligners' if both else 'pyramid_feat_aligners'}.{level}"
                aligned = self._unit(name, point_1)
                if both:
                    cost_3d = self._unit(f"{points}correlation_aligners.{level}", cost_3d)
                    parts = [cost_3d, aligned, flow_3d, of_points]
                else:
                    name = f"core.correlations.{level}.feat_aligner"
                    parts = [aligned, self._unit(name, cost_3d), flow_3d]
                name, x = f"{points}flow_estimator", torch.cat(parts, -1)
                for number in (1, 2):
                    x = self._point_conv(f"{name}.point_conv{number}", xyz1, x, near[1], xyz1)
                of_points = self._mlp(f"{name}.mlp", x, 2)
            if both:
                of_image, of_points = self._fuse("core.estimator_clfm", of_image, of_points, pair)
            if config.images:
                last = "core.branch_2d_conv_last" if both else "core.flow_estimator.conv_last"
                flow_2d = flow_2d + self._conv(last, of_image)
                context = torch.cat([of_image, flow_2d], 1)
                of_image, delta = self._context(f"{pixels}context_network", context)
                flow_2d = flow_2d + delta
            if config.points:
                last = "core.branch_3d_conv_last" if both else "core.flow_estimator.conv_last"
                flow_3d = flow_3d + self._linear(last, of_points)
            if both:
                flow_2d, flow_3d = flow_2d.clamp(-1000, 1000), flow_3d.clamp(-100, 100)
        # 3. Answers.
        found_2d = found_3d = None
        if config.images:
            up = self._upsample(f"{pixels}up_mask_head", of_image, flow_2d)
            scale = up.new_tensor([size[1] / up.shape[3], size[0] / up.shape[2]])[:, None, None]
            up = F.interpolate(up, size, mode="bilinear", align_corners=True)
            found_2d = (scale * up).permute(0, 2, 3, 1)
        if config.points:
            start = levels[0][:b]
            flow = interpolated(flow_3d, *interpolation(levels[1][:b], start))
            found_3d = metric(start, flow, camera, sensors)
        return found_2d, found_3d


def doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def warped(x: Tensor, flow: Tensor) -> Tensor:
    """x where the flow leads, at its border where that is outside."""
    height, width = x.shape[-2:]
    grid = torch.stack(torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy"))
    last = torch.tensor([width - 1, height - 1])
    places = 2 * (grid + flow).permute(0, 2, 3, 1) / last - 1
    return F.grid_sample(x, places, padding_mode="border", align_corners=True)


def local_costs(first: Tensor, second: Tensor, most: int = 4) -> Tensor:
    height, width = first.shape[-2:]
    padded = F.pad(second, (most, most, most, most))
    moved = [
        (first * padded[..., y : y + height, x : x + width]).mean(1)
        for y in range(2 * most + 1)
        for x in range(2 * most + 1)
    ]
    return torch.stack(moved, 1)


def convex(mask: Tensor, flow: Tensor, factor: int) -> Tensor:
    """Flow upsampled by weights of its nine neighbours."""
    b, _, height, width = flow.shape
    share = mask.reshape(b, 1, 9, factor, factor, height, width).softmax(2)
    around = F.unfold(factor * flow, 3, padding=1).reshape(b, 2, 9, 1, 1, height, width)
    up = (share * around).sum(2).permute(0, 1, 4, 2, 5, 3)
    return up.reshape(b, 2, factor * height, factor * width)


def cloud_levels(
    clouds: Tensor, camera: Tensor, sensors: Sensors, counts: tuple[int, ...]
) -> list[Tensor]:
    """Both clouds [2b, ni, 3] at every level, on the parallel sensor, the whole ones first."""
    both = to_parallel(clouds.transpose(0, 1).flatten(0, 1), camera.repeat(2, 1), sensors)
    drawn = gathered(both, sampling(both, counts[0])[..., None])[:, :, 0]
    return [both, *(drawn[:, :count] for count in counts)]


def metric(start: Tensor, flow: Tensor, camera: Tensor, sensors: Sensors) -> Tensor:
    """Flow on the parallel sensor in metres."""
    end = to_perspective(start + flow, camera, sensors)
    return end - to_perspective(start, camera, sensors)


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


def interpolation(points: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
    """(the three nearest points of each query, weights that sum to 1)."""
    distance, indices = nearest(points, queries, 3)
    inverse = 1 / distance.clamp(min=1e-8)
    return indices, inverse / inverse.sum(-1, keepdim=True)


def interpolated(features: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    return (gathered(features, indices) * weights[..., None]).sum(2)


def to_parallel(points: Tensor, camera: Tensor, sensors: Sensors) -> Tensor:
    f, centre = camera[:, None, :1], camera[:, None, 1:]
    ratio, side = torch.tensor(sensors.ratio), torch.tensor(sensors.parallel).flip(0)
    pixels = centre + f / points[..., 2:] * points[..., :2]
    depth = (f * points[..., 2:].log() + 1) * ratio.min()
    return torch.cat([pixels * ratio - (side - 1) / 2, depth], -1)


def to_perspective(points: Tensor, camera: Tensor, sensors: Sensors) -> Tensor:
    f, centre = camera[:, None, :1], camera[:, None, 1:]
    ratio, side = torch.tensor(sensors.ratio), torch.tensor(sensors.parallel).flip(0)
    pixels = (points[..., :2] + (side - 1) / 2) / ratio
    depth = ((points[..., 2:] / ratio.min() - 1) / f).exp()
    return torch.cat([(pixels - centre) * depth / f, depth], -1)


def correspond(points: Tensor, sensors: Sensors, size: tuple[int, int]) -> Pairs:
    """Points and pixels of a feature map of `size` that belong together."""
    side = torch.tensor(sensors.parallel).flip(0)
    last = torch.tensor([size[1] - 1, size[0] - 1])
    uv = (points[..., :2] + (side - 1) / 2) * (last / (side - 1))
    grid = torch.stack(
        torch.meshgrid(torch.arange(size[1]), torch.arange(size[0]), indexing="xy"), -1
    )
    grid = grid.reshape(1, -1, 2).float().expand(len(points), -1, -1)
    near = nearest(uv, grid, 1).indices
    offset = gathered(uv, near)[:, :, 0] - grid
    offset = torch.cat([offset, offset.norm(dim=-1, keepdim=True)], -1)
    return Pairs(2 * uv / last - 1, near, offset.mT.reshape(len(points), 3, *size))


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


def call(config: RaftConfig, weights: Mapping[str, np.ndarray], arrays: tuple[np.ndarray, ...]):
    """A call of the network on (images, clouds, camera): arrays, None where there is no branch."""
    raft = isinstance(config, RaftConfig)
    network = (RaftNetwork if raft else PwcNetwork)(config, weights)
    iterations = config.iterations if raft else 1
    tensors = [torch.from_numpy(np.array(array)) for array in arrays]

    def run() -> list[np.ndarray | None]:
        found = network(*tensors, iterations)
        return [None if flow is None else flow.numpy() for flow in found]

    return run
