"""SlowFast R50 8x8 in PyTorch operations, as PySlowFast builds it, norms frozen."""

import numpy as np
import torch
from torch import nn

BLOCKS = (3, 4, 6, 3)
WINDOWS = ((1, 1, 3, 3), (3, 3, 3, 3))


def convolution(inputs: int, outputs: int, window=(1, 1, 1), stride=(1, 1, 1), relu=True):
    padding = tuple(side // 2 for side in window)
    layers = [
        nn.Conv3d(inputs, outputs, window, stride, padding, bias=False),
        nn.BatchNorm3d(outputs),
    ]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class Block(nn.Module):
    def __init__(self, inputs: int, inner: int, window: int, stride: int):
        super().__init__()
        self.branch = nn.Sequential(
            convolution(inputs, inner, (window, 1, 1)),
            convolution(inner, inner, (1, 3, 3), (1, stride, stride)),
            convolution(inner, 4 * inner, relu=False),
        )
        self.shortcut = None
        if inputs != 4 * inner or stride > 1:
            self.shortcut = convolution(inputs, 4 * inner, stride=(1, stride, stride), relu=False)

    def forward(self, x):
        known = x if self.shortcut is None else self.shortcut(x)
        return torch.relu(known + self.branch(x))


class SlowFast(nn.Module):
    def __init__(self):
        super().__init__()
        self.stems = nn.ModuleList(
            convolution(3, width, (window, 7, 7), (1, 2, 2)) for width, window in ((64, 1), (8, 5))
        )
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        self.stages, self.fusions = nn.ModuleList(), nn.ModuleList()
        slow, fast = 64, 8
        for number, blocks in enumerate(BLOCKS):
            self.fusions.append(convolution(fast, 2 * fast, (7, 1, 1), (4, 1, 1)))
            pair = nn.ModuleList()
            for pathway, inputs in enumerate((slow + 2 * fast, fast)):
                inner = (64, 8)[pathway] * 2**number
                window, stride = WINDOWS[pathway][number], 1 if number == 0 else 2
                pair.append(
                    nn.Sequential(
                        *(
                            Block(4 * inner if i else inputs, inner, window, 1 if i else stride)
                            for i in range(blocks)
                        )
                    )
                )
            self.stages.append(pair)
            slow, fast = 256 * 2**number, 32 * 2**number

    def forward(self, slow, fast):
        slow, fast = (self.pool(s(x)) for s, x in zip(self.stems, (slow, fast), strict=True))
        total = 0
        for fuse, (of_slow, of_fast) in zip(self.fusions, self.stages, strict=True):
            slow, fast = of_slow(torch.cat([slow, fuse(fast)], 1)), of_fast(fast)
            pooled = torch.nn.functional.max_pool3d(fast, (4, 1, 1))
            total = total + torch.cat([slow, pooled], 1).square().mean()
        return total


def slowfast_calls(fast: np.ndarray) -> list:
    """[forward, forward and backward] of one clip [1, 3, t, h, w]."""
    model = SlowFast().eval()
    inputs = torch.from_numpy(fast[:, :, ::4].copy()), torch.from_numpy(fast.copy())

    def forward():
        with torch.inference_mode():
            return float(model(*inputs))

    def step():
        model.zero_grad()
        model(*inputs).backward()

    return [forward, step]
