"""STMixer's published decoder in PyTorch operations: a sample of every frame by `grid_sample`, both
means taken of them (the same sizes and as many stages as `DecoderConfig` has)."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from jaxvision.methods.stmixer.decoder import DecoderConfig

POINT_SCALE = 2.0  # of the softmax over levels


class Mixing(nn.Module):
    def __init__(self, c: DecoderConfig, points: int):
        super().__init__()
        self.groups, self.channels = c.groups, c.width // c.groups
        self.points, self.outputs = points, c.multiplier * points
        size = self.channels**2 + self.points * self.outputs
        self.generator = nn.Linear(c.width, self.groups * size)
        self.out = nn.Linear(self.groups * self.outputs * self.channels, c.width)

    def forward(self, x, query):
        b, n = query.shape[:2]
        made = self.generator(query).view(b * n, self.groups, -1)
        channel, point = made.split([self.channels**2, self.points * self.outputs], -1)
        x = x.reshape(b * n, self.groups, self.points, self.channels)
        x = x @ channel.view(b * n, self.groups, self.channels, self.channels)
        x = F.relu(F.layer_norm(x, x.shape[-2:]))
        x = point.view(b * n, self.groups, self.outputs, self.points) @ x
        x = F.relu(F.layer_norm(x, x.shape[-2:]))
        return self.out(x.reshape(b, n, -1))


class Branch(nn.Module):
    """Attention, mixing and feed-forward layers of one of the two vectors."""

    def __init__(self, c: DecoderConfig, points: int):
        super().__init__()
        self.attention = nn.MultiheadAttention(c.width, c.heads, batch_first=True)
        self.mixing = Mixing(c, points)
        self.up, self.down = nn.Linear(c.width, c.hidden), nn.Linear(c.hidden, c.width)
        self.norms = nn.ModuleList(nn.LayerNorm(c.width) for _ in range(3))

    def attended(self, x, bias):
        mixed, _ = self.attention(x, x, x, attn_mask=bias, need_weights=False)
        return self.norms[0](x + mixed)

    def mixed(self, x, sampled):
        x = self.norms[1](x + self.mixing(sampled, x))
        return self.norms[2](x + self.down(F.relu(self.up(x))))


class Stage(nn.Module):
    def __init__(self, c: DecoderConfig):
        super().__init__()
        self.c = c
        self.offset = nn.Linear(c.width, 3 * c.groups * c.points)
        self.spatial, self.temporal = Branch(c, c.points), Branch(c, c.frames)
        self.temperature = nn.Parameter(torch.rand(c.heads))

        def head(inputs: int, outputs: int) -> nn.Module:
            hidden = nn.Linear(inputs, inputs), nn.LayerNorm(inputs), nn.ReLU()
            return nn.Sequential(*hidden, nn.Linear(inputs, outputs))

        self.person, self.box = head(c.width, c.objects + 1), head(c.width, 4)
        self.action = head(2 * c.width, c.actions)

    def sampled(self, levels, boxes, spatial):
        """Of every frame: [b, n, groups, points, frames, channels]."""
        c, (b, n) = self.c, boxes.shape[:2]
        offset = self.offset(spatial).view(b, n, c.groups, c.points, 3)
        z, r = boxes[..., 2], boxes[..., 3]
        sides = torch.stack([2 ** (z - r / 2), 2 ** (z + r / 2)], -1)[:, :, None, None]
        places = boxes[:, :, None, None, :2] + offset[..., :2] * sides
        level = z[:, :, None, None] + offset[..., 2] - 3
        steps = torch.arange(len(levels))
        weights = torch.softmax(-((level[..., None] - steps) ** 2) / POINT_SCALE, -1)
        total = 0
        for number, (value, stride) in enumerate(zip(levels, c.strides, strict=True)):
            _, _, t, h, w = value.shape
            value = value.view(b, c.groups, -1, t, h, w).permute(0, 1, 3, 2, 4, 5)
            grid = 2 * places / torch.tensor([w * stride, h * stride]) - 1
            grid = grid.permute(0, 2, 1, 3, 4)[:, :, None].expand(-1, -1, t, -1, -1, -1)
            found = F.grid_sample(
                value.reshape(b * c.groups * t, -1, h, w),
                grid.reshape(-1, n, c.points, 2),
                align_corners=False,
            ).view(b, c.groups, t, -1, n, c.points)
            found = found.permute(0, 4, 1, 5, 2, 3)
            total = total + found * weights[..., number, None, None]
        return total

    def forward(self, levels, boxes, spatial, temporal):
        corners = corners_of(boxes.detach())
        bias = torch.log(share_inside(corners) + 1e-7)[:, None] * self.temperature[:, None, None]
        bias = bias.flatten(0, 1)
        spatial = self.spatial.attended(spatial, bias)
        temporal = self.temporal.attended(temporal, bias)
        sampled = self.sampled(levels, boxes, spatial)
        spatial = self.spatial.mixed(spatial, sampled.mean(4))
        temporal = self.temporal.mixed(temporal, sampled.mean(3))
        change = self.box(spatial)
        centre = boxes[..., :2] + change[..., :2] * 2 ** boxes[..., 2:3]
        boxes = torch.cat([centre, boxes[..., 2:] + change[..., 2:]], -1)
        action = self.action(torch.cat([spatial, temporal], -1))
        answers = self.person(spatial), action, corners_of(boxes)
        return boxes, spatial, temporal, answers


def corners_of(boxes):
    z, r = boxes[..., 2], boxes[..., 3]
    half = torch.stack([2 ** (z - r / 2), 2 ** (z + r / 2)], -1) / 2
    return torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], -1)


def share_inside(boxes):
    first = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    last = torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    common = (last - first).clamp(min=0).prod(-1)
    return common / (boxes[..., 2:] - boxes[..., :2]).prod(-1)[:, :, None]


def head_calls(levels: list[np.ndarray], size: tuple[int, int], c: DecoderConfig):
    """(forward, forward and gradients) of the whole decoder. levels: [b, t, h, w, d].  size: width
    and height of the clip in pixels."""
    stages = nn.ModuleList(Stage(c) for _ in range(c.stages))
    maps = [torch.tensor(np.moveaxis(level, -1, 1)).requires_grad_() for level in levels]
    width, height = (np.float32(side) for side in size)
    z, r = np.log2(width * height) / 2, np.log2(height / width)
    first = torch.tensor([width / 2, height / 2, z, r]).expand(len(levels[0]), c.queries, 4)
    tables = [nn.Parameter(torch.randn(c.queries, c.width)) for _ in range(2)]

    def forward():
        boxes = first
        spatial, temporal = (table.expand(len(first), -1, -1) for table in tables)
        total = 0
        for stage in stages:
            boxes, spatial, temporal, answers = stage(maps, boxes, spatial, temporal)
            total = total + sum((answer**2).mean() for answer in answers)
        return total

    def without_gradients():
        with torch.no_grad():
            return forward()

    def both():
        wanted = [*maps, *tables, *stages.parameters()]
        return torch.autograd.grad(forward(), wanted, allow_unused=True)

    return without_gradients, both
