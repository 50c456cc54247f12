"""The whole detector in PyTorch operations: sparse backbone, RPN neck, center head."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from link_torch import (
    TorchLevel,
    Weights,
    batch_norm,
    convolution_norm,
    large_kernel,
    levels_of,
    split_network,
)
from torch.nn import functional as F

from jaxvision.methods.link.detection.backbone import EPSILON
from jaxvision.methods.link.detection.center_head import branches
from jaxvision.methods.link.detection.detector import Detector
from jaxvision.methods.link.detection.pyramid import STAGES, DetectionLevel

HEAD_EPSILON = 1e-5


class TorchDetector:
    """Features of the voxels that exist to raw maps, for one set of maps between voxels."""

    def __init__(self, model: Detector, levels: Sequence[DetectionLevel]):
        if model.version not in ("elkv3", "baseline"):
            raise SystemExit(f"model.version {model.version} has no counterpart in PyTorch here")
        self.model, self.levels, self.extent = model, levels_of(levels), levels[STAGES].extent
        self.shards = levels[0].sites.coords.shape[0]

    def __call__(self, w: Weights, x: torch.Tensor) -> list[torch.Tensor]:
        """Maps of all tasks, [scans, rows, columns, values], in the order of the network's."""
        bev = self._backbone(w["backbone"], x)
        return self._head(w["head"], self._neck(w["neck"], bev))

    def _backbone(self, w: Weights, x: torch.Tensor) -> torch.Tensor:
        finest = self.levels[0]
        layer = partial(convolution_norm, epsilon=EPSILON)
        x = layer(w["input"], x, finest.neighbours, finest.voxels)
        for number, level in enumerate(self.levels[:STAGES], 1):
            if number > 1:
                x = layer(w[f"down{number}"], x, level.down, level.voxels)
            x = split_network(w, number, x, level, partial(self._wide, level), EPSILON)
        flat = self.levels[STAGES]
        x = layer(w["flatten"], x, flat.down, flat.voxels)
        columns, rows, depth = self.extent
        shard, at_x, at_y, at_z = flat.coords.unbind(1)
        cell = ((shard * rows + at_y) * columns + at_x) * depth + at_z
        dense = x.new_zeros(self.shards * rows * columns * depth, x.shape[1]).index_copy(0, cell, x)
        dense = dense.reshape(self.shards, rows, columns, depth, -1).permute(0, 4, 3, 1, 2)
        return dense.reshape(self.shards, -1, rows, columns)

    def _wide(self, level: TorchLevel, w: Weights, x: torch.Tensor) -> torch.Tensor:
        groups = 2 if self.model.form in ("cos", "x") else 1
        return large_kernel(w, x, level, self.model.form, groups, 1)

    def _neck(self, w: Weights, x: torch.Tensor) -> torch.Tensor:
        joined = []
        for block in range(2):
            for layer in range(self.model.neck_layers + 1):
                stride = 2 if block and not layer else 1
                x = map_layer(w[f"block{block}_{layer}"], x, stride)
            known = w[f"joined{block}"]
            if block:
                kernel = known.params["kernel"].permute(2, 3, 0, 1)
                y = F.conv_transpose2d(x, kernel, stride=kernel.shape[2])
                joined.append(F.relu(batch_norm(known["BatchNorm_0"], y, EPSILON)))
            else:
                joined.append(map_layer(known, x, 1))
        return torch.cat(joined, dim=1)

    def _head(self, w: Weights, x: torch.Tensor) -> list[torch.Tensor]:
        shared = hidden(w["shared"], x)
        sizes, tasks = branches(self.model.velocity), len(self.model.classes)
        boxes, heat = stacked(w["box_hidden"], shared), stacked(w["heat_hidden"], shared)
        found = []
        for task in range(tasks):
            start = task * len(sizes)
            given = dict(zip(sizes, boxes[start : start + len(sizes)], strict=True))
            for name, branch in (given | {"hm": heat[task]}).items():
                found.append(convolution_2d(w[f"task{task}_{name}"], branch).permute(0, 2, 3, 1))
        return found


def in_order(maps: Sequence[Mapping[str, Any]], velocity: bool) -> list[Any]:
    """The network's maps in the order in which `TorchDetector` gives them."""
    return [task[name] for task in maps for name in (*branches(velocity), "hm")]


def convolution_2d(w: Weights, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
    kernel = w.params["kernel"].permute(3, 2, 0, 1)
    return F.conv2d(x, kernel, w.params.get("bias"), stride, padding=kernel.shape[2] // 2)


def map_layer(w: Weights, x: torch.Tensor, stride: int) -> torch.Tensor:
    return F.relu(batch_norm(w["BatchNorm_0"], convolution_2d(w["Conv_0"], x, stride), EPSILON))


def hidden(w: Weights, x: torch.Tensor) -> torch.Tensor:
    return F.relu(batch_norm(w["norm"], convolution_2d(w["convolution"], x), HEAD_EPSILON))


def stacked(w: Weights, x: torch.Tensor) -> list[torch.Tensor]:
    """The hidden layers of several branches as one convolution and one norm."""
    kernel = w["convolution"].params["kernel"].permute(0, 4, 3, 1, 2).flatten(0, 1)
    x = F.conv2d(x, kernel, w["convolution"].params["bias"].flatten(), padding=1)
    norm = w["norm"]
    count = len(norm.params["scale"])
    flat = Weights(
        {name: value.flatten() for name, value in norm.params.items()},
        {name: value.flatten() for name, value in norm.stats.items()},
        norm.train,
    )
    return list(F.relu(batch_norm(flat, x, HEAD_EPSILON)).chunk(count, dim=1))
