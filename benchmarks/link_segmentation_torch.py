"""The segmentation networks in PyTorch operations."""

from collections.abc import Sequence
from functools import partial

import torch
from link_torch import (
    TorchLevel,
    Weights,
    convolution_norm,
    large_kernel,
    levels_of,
    residual,
    split_network,
)
from torch.nn import functional as F

from jaxvision.methods.link.segmentation.network import SegmentationNetwork
from jaxvision.methods.link.segmentation.pyramid import LEVELS, Level


class TorchSegmentation:
    """Features of the voxels that exist to their logits, for one set of maps between voxels."""

    def __init__(self, model: SegmentationNetwork, levels: Sequence[Level]):
        self.model, self.levels = model, levels_of(levels)

    def __call__(self, w: Weights, x: torch.Tensor) -> list[torch.Tensor]:
        found = self._encode(w, x)
        if self.model.network == "linkencoder":
            return [self._classify_levels(w, found)]
        return [linear(w["classifier"], self._decode(w, found))]

    def _encode(self, w: Weights, x: torch.Tensor) -> list[torch.Tensor]:
        finest = self.levels[0]
        for number in (0, 1):
            x = convolution_norm(w[f"stem_{number}"], x, finest.neighbours, finest.voxels)
        found = [x]
        for number, level in enumerate(self.levels[1:], 1):
            x = convolution_norm(w[f"down{number}"], x, level.down, level.voxels)
            x = split_network(w, number, x, level, partial(self._wide, number, level))
            found.append(x)
        return found

    def _wide(self, number: int, level: TorchLevel, w: Weights, x: torch.Tensor) -> torch.Tensor:
        model = self.model
        own_unit = model.network == "linkencoder" and model.form == "cos_x"
        return large_kernel(w, x, level, model.form, model.groups, 1 if own_unit else 2**number)

    def _decode(self, w: Weights, found: Sequence[torch.Tensor]) -> torch.Tensor:
        y = found[-1]
        for number in range(1, LEVELS):
            coarse, fine = self.levels[LEVELS - number], self.levels[LEVELS - 1 - number]
            back = [(write, read) for read, write in coarse.down]
            y = convolution_norm(w[f"up{number}"], y, back, fine.voxels)
            y = torch.cat([y, found[LEVELS - 1 - number]], dim=1)
            for block in (0, 1):
                y = residual(w[f"up{number}_{block}"], y, fine)
        return y

    def _classify_levels(self, w: Weights, found: Sequence[torch.Tensor]) -> torch.Tensor:
        whole = [
            values.index_select(0, level.containing)
            for values, level in zip(found, self.levels, strict=True)
        ]
        kernels = w.params["head_kernel"]
        parts = [x @ kernel for x, kernel in zip(reversed(whole), kernels, strict=True)]
        return linear(w["classifier"], F.relu(torch.cat(parts, dim=1) + w.params["head_bias"]))


def linear(w: Weights, x: torch.Tensor) -> torch.Tensor:
    return x @ w.params["kernel"] + w.params["bias"]
