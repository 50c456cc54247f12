"""STMixer's head in PyTorch operations, of published size: the yardstick of stmixer.py.

Its sampling folds the frames into the channels of one `grid_sample` a level, since all frames share
points; the published code samples frame by frame, which is slower.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

WIDTH, GROUPS, POINTS, HEADS, HIDDEN, STAGES, ACTIONS = 256, 4, 32, 8, 2048, 6, 80
CHANNELS = WIDTH // GROUPS
STRIDES = (4, 8, 16, 32)


def boxes_of(state: torch.Tensor) -> torch.Tensor:
    """x1, y1, x2, y2 of (cx, cy, z, r)."""
    z, r = state[..., 2:3], state[..., 3:4]
    half = torch.cat([2 ** (z - r / 2), 2 ** (z + r / 2)], -1) / 2
    return torch.cat([state[..., :2] - half, state[..., :2] + half], -1)


def shares(boxes: torch.Tensor) -> torch.Tensor:
    """[b, n, n]: how much of box i lies in box j."""
    low = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    high = torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    area = (boxes[..., 2:] - boxes[..., :2]).prod(-1)
    return (high - low).clamp(min=0).prod(-1) / area.clamp(min=1e-6)[..., None]


def position_code(state: torch.Tensor) -> torch.Tensor:
    scaled = state / state.new_tensor([1000.0, 1000.0, 1.0, 1.0])
    k = torch.arange(WIDTH // 4)
    angles = scaled[..., None] / 10000 ** (2 * (k // 2) / (WIDTH // 4))
    return torch.where(k % 2 == 0, angles.sin(), angles.cos()).flatten(-2)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x, bias):
        b, n, _ = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.norm(x + self.out(mixed.transpose(1, 2).reshape(b, n, WIDTH)))


class Mixing(nn.Module):
    def __init__(self, points: int):
        super().__init__()
        self.sizes = [CHANNELS**2, 4 * points**2]
        self.points = points
        self.generator = nn.Linear(WIDTH, GROUPS * sum(self.sizes))
        self.out = nn.Linear(GROUPS * 4 * points * CHANNELS, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x, query):
        b, n, _ = query.shape
        made = self.generator(query).reshape(b * n, GROUPS, -1)
        channel, point = made.split(self.sizes, -1)
        x = x.reshape(b * n, GROUPS, self.points, CHANNELS)
        x = x @ channel.reshape(b * n, GROUPS, CHANNELS, CHANNELS)
        x = F.relu(F.layer_norm(x, x.shape[-2:]))
        x = point.reshape(b * n, GROUPS, 4 * self.points, self.points) @ x
        x = F.relu(F.layer_norm(x, x.shape[-2:]))
        return self.norm(query + self.out(x.reshape(b, n, -1)))


def feed() -> nn.Sequential:
    return nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, WIDTH))


def answer(width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, outputs)
    )


class Stage(nn.Module):
    def __init__(self, frames: int):
        super().__init__()
        self.temperature = nn.Parameter(4 * torch.rand(HEADS))
        self.attentions = nn.ModuleList([Attention(), Attention()])
        self.offset = nn.Linear(WIDTH, 3 * GROUPS * POINTS)
        nn.init.zeros_(self.offset.weight)
        nn.init.uniform_(self.offset.bias, -0.5, 0.5)
        self.mixings = nn.ModuleList([Mixing(POINTS), Mixing(frames)])
        self.feeds = nn.ModuleList([feed(), feed()])
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)])
        self.person, self.box = answer(WIDTH, 2), answer(WIDTH, 4)
        nn.init.zeros_(self.box[-1].weight)
        nn.init.zeros_(self.box[-1].bias)
        self.action = answer(2 * WIDTH, ACTIONS)

    def sampled(self, levels, state, spatial):
        """Means over frames [b, n, g, p, c] and over points [b, n, g, t, c]."""
        b, n, _ = state.shape
        offset = self.offset(spatial).reshape(b, n, GROUPS, POINTS, 3)
        box = boxes_of(state)
        sides = (box[..., 2:] - box[..., :2])[:, :, None, None]
        points = state[:, :, None, None, :2] + offset[..., :2] * sides
        level = state[:, :, None, None, 2] + offset[..., 2] - 3
        weights = torch.softmax(-((level[..., None] - torch.arange(4)) ** 2) / 2, -1)
        total = 0
        for number, (image, stride) in enumerate(zip(levels, STRIDES, strict=True)):
            height, width = image.shape[-2:]
            grid = 2 * points / points.new_tensor([width * stride, height * stride]) - 1
            grid = grid.transpose(1, 2).flatten(0, 1)
            found = F.grid_sample(image, grid, align_corners=False)
            weight = weights[..., number].transpose(1, 2).flatten(0, 1)
            total = total + found * weight[:, None]
        frames = total.shape[1] // CHANNELS
        total = total.reshape(b, GROUPS, frames, CHANNELS, n, POINTS)
        over_frames = total.mean(2).permute(0, 3, 1, 4, 2)
        return over_frames, total.mean(-1).permute(0, 4, 1, 2, 3)

    def forward(self, levels, state, vectors):
        bias = torch.log(shares(boxes_of(state.detach())) + 1e-7)[:, None]
        bias = bias * self.temperature[:, None, None]
        code = position_code(state.detach())
        vectors = [f(x + code, bias) for f, x in zip(self.attentions, vectors, strict=True)]
        seen = self.sampled(levels, state, vectors[0])
        vectors = [f(s, x) for f, s, x in zip(self.mixings, seen, vectors, strict=True)]
        vectors = [
            norm(x + f(x)) for norm, f, x in zip(self.norms, self.feeds, vectors, strict=True)
        ]
        change = self.box(vectors[0])
        scale = 2 ** state[..., 2:3]
        state = torch.cat(
            [state[..., :2] + change[..., :2] * scale, state[..., 2:] + change[..., 2:]], -1
        )
        person, action = self.person(vectors[0]), self.action(torch.cat(vectors, -1))
        return state, vectors, (person, action, boxes_of(state))


class Head(nn.Module):
    def __init__(self, queries: int, frames: int):
        super().__init__()
        self.tables = nn.ParameterList(torch.randn(queries, WIDTH) for _ in range(2))
        self.stages = nn.ModuleList(Stage(frames) for _ in range(STAGES))

    def forward(self, levels, size: tuple[int, int]):
        """levels: [b * groups, frames * channels, h, w] each.  size: width and height."""
        batch, (width, height) = len(levels[0]) // GROUPS, size
        first = torch.tensor([width / 2, height / 2, width * height, height / width])
        first[2], first[3] = first[2].sqrt().log2(), first[3].log2()
        state = first.expand(batch, len(self.tables[0]), 4)
        vectors = [F.layer_norm(t, (WIDTH,)).expand(batch, -1, -1) for t in self.tables]
        total = 0.0
        for stage in self.stages:
            state, vectors, answers = stage(levels, state, vectors)
            total = total + sum(each.square().mean() for each in answers)
        return total


def head_calls(levels: list[np.ndarray], size: tuple[int, int], queries: int) -> list:
    """[forward, forward and backward] of levels [b, t, h, w, c]: of all answers' mean squares, with
    gradients of parameters and levels."""
    batch, frames = levels[0].shape[:2]
    model = Head(queries, frames)

    def folded(level: np.ndarray) -> torch.Tensor:
        height, width = level.shape[2:4]
        x = torch.from_numpy(np.array(level)).reshape(batch, frames, height, width, GROUPS, -1)
        x = x.permute(0, 4, 1, 5, 2, 3).reshape(batch * GROUPS, -1, height, width)
        return x.contiguous().requires_grad_()

    images = [folded(level) for level in levels]

    def forward():
        with torch.inference_mode():
            return float(model(images, size))

    def both():
        model.zero_grad()
        for image in images:
            image.grad = None
        model(images, size).backward()

    return [forward, both]
