"""CamLiPWC and its siblings in PyTorch: correlations of neighbours, from coarse to fine."""

import torch
from camliflow_clouds_torch import cloud_levels, correspond, interpolated, interpolation, metric
from camliflow_layers_torch import ACTIVATIONS, Layers, convex
from points_and_flow_torch import gathered, nearest
from torch.nn import functional as F

from jaxvision.methods.camliflow.estimators import DILATIONS
from jaxvision.methods.camliflow.inverse_depth import Sensors
from jaxvision.methods.camliflow.model import POINT_SENSOR
from jaxvision.methods.camliflow.pwc import CARRIED, WIDTHS

Tensor = torch.Tensor


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
