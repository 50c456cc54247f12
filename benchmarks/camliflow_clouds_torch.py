"""Clouds of CamLiFlow's networks in PyTorch: on the parallel sensor, and beside a map's pixels."""

from typing import NamedTuple

import torch
from points_and_flow_torch import gathered, nearest, sampling

from jaxvision.methods.camliflow.inverse_depth import Sensors

Tensor = torch.Tensor


class Pairs(NamedTuple):
    """uv: of points, -1 to 1 on the map.  nearest: each pixel's point [b, h * w, 1].  offset: from
    the pixel to it, and its length [b, 3, h, w]."""

    uv: Tensor
    nearest: Tensor
    offset: Tensor


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


def interpolation(points: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
    """(the three nearest points of each query, weights that sum to 1)."""
    distance, indices = nearest(points, queries, 3)
    inverse = 1 / distance.clamp(min=1e-8)
    return indices, inverse / inverse.sum(-1, keepdim=True)


def interpolated(features: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    return (gathered(features, indices) * weights[..., None]).sum(2)


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
