"""Operations on points and correlations in PyTorch: yardsticks for points_and_flow.py."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Distances in memory at once: 64 MB, as a user would split a search that does not fit.
BLOCK = 1 << 24


class Neighbours(NamedTuple):
    distances: torch.Tensor
    indices: torch.Tensor


def nearest(points: torch.Tensor, queries: torch.Tensor, k: int) -> Neighbours:
    """The k nearest points of each query, nearest first."""
    rows = max(1, BLOCK // (points.shape[0] * points.shape[1]))
    distances, indices = [], []
    for block in queries.split(rows, dim=1):
        distance = torch.cdist(block, points, compute_mode="donot_use_mm_for_euclid_dist")
        found = distance.topk(k, dim=-1, largest=False)
        distances.append(found.values)
        indices.append(found.indices)
    return Neighbours(torch.cat(distances, dim=1), torch.cat(indices, dim=1))


def search(points: torch.Tensor, queries: torch.Tensor, k: int) -> torch.Tensor:
    return nearest(points, queries, k).indices


def sampling(points: torch.Tensor, samples: int) -> torch.Tensor:
    batch = torch.arange(points.shape[0], device=points.device)
    distance = torch.full(points.shape[:2], 1e10, device=points.device)
    chosen, found = torch.zeros_like(batch), []
    for _ in range(samples):
        found.append(chosen)
        squared = (points - points[batch, chosen][:, None]).square().sum(-1)
        distance = torch.minimum(distance, squared)
        chosen = distance.argmax(-1)
    return torch.stack(found, dim=1)


def lookup(
    first: torch.Tensor, second: torch.Tensor, shares: torch.Tensor, levels: int, radius: int
) -> torch.Tensor:
    """As RAFT publishes it: the volume of all pairs, pooled, and `grid_sample`."""
    b, height, width, c = first.shape
    volume = first.reshape(b, -1, c) @ second.reshape(b, -1, c).mT / c**0.5
    volume = volume.reshape(-1, 1, height, width)
    x, y = torch.arange(width, device=first.device), torch.arange(height, device=first.device)
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    where = (grid + 4 * shares).reshape(-1, 1, 1, 2)
    steps = torch.arange(-radius, radius + 1, device=first.device)
    window = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)
    found = []
    for level in range(levels):
        if level:
            volume = F.avg_pool2d(volume, 2)
        size = torch.tensor([volume.shape[3], volume.shape[2]], device=first.device)
        places = 2 * (where / 2**level + window) / (size - 1) - 1
        found.append(
            F.grid_sample(volume, places, align_corners=True).reshape(b, height, width, -1)
        )
    return torch.cat(found, dim=-1)


def cost(first: torch.Tensor, second: torch.Tensor, most: int) -> torch.Tensor:
    height, width = first.shape[1:3]
    padded = F.pad(second, (0, 0, most, most, most, most))
    moved = [
        (first * padded[:, y : y + height, x : x + width]).mean(-1)
        for y in range(2 * most + 1)
        for x in range(2 * most + 1)
    ]
    return torch.stack(moved, dim=-1)


def gathered(rows: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    batch = torch.arange(rows.shape[0], device=rows.device)[:, None, None]
    return rows[batch, index]


def point_cost(
    first: torch.Tensor, second: torch.Tensor, xyz1: torch.Tensor, xyz2: torch.Tensor, k: int
) -> torch.Tensor:
    volume = first @ second.mT / first.shape[-1]
    nearest = search(xyz2, xyz1, k)
    offset = gathered(xyz2, nearest) - xyz1[:, :, None]
    return torch.cat([offset, volume.gather(2, nearest)[..., None]], dim=-1)


def depthwise(features: torch.Tensor, weights: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    nearest = search(points, points, weights.shape[2])
    return (gathered(features, nearest) * weights).amax(2)


OPERATIONS: dict[str, Callable[..., torch.Tensor]] = {
    "search": search,
    "sampling": sampling,
    "lookup": lookup,
    "cost": cost,
    "point_cost": point_cost,
    "depthwise": depthwise,
}


def call(
    name: str, arrays: Sequence[np.ndarray], options: tuple, differentiated: int
) -> Callable[[], None]:
    """A call of an operation, forward, or both ways by the first `differentiated` arrays."""
    inputs = [torch.tensor(array, device=DEVICE) for array in arrays]
    function = OPERATIONS[name]

    def forward() -> None:
        with torch.no_grad():
            function(*inputs, *options)
        synchronise()

    def both() -> None:
        first = inputs[:differentiated]
        value = function(*inputs, *options)
        torch.autograd.grad(value, first, value.detach())
        synchronise()

    for array in inputs[:differentiated]:
        array.requires_grad_()
    return both if differentiated else forward


def synchronise() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()
