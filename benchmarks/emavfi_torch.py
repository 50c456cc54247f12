"""EMA-VFI's network in PyTorch, on official weight names: a yardstick for emavfi.py."""

from collections.abc import Mapping

import numpy as np
import torch
from torch.nn import functional as F

from jaxvision.methods.emavfi.attention import BlockConfig, WindowGrid, coordinate_grid
from jaxvision.methods.emavfi.extractor import BRANCHES
from jaxvision.methods.emavfi.variants import NetworkConfig

Tensor = torch.Tensor


class Network:
    """Frames [1, 3, h, w], BGR in [0, 1], sides multiples of 32 -> the frame in the middle."""

    def __init__(self, config: NetworkConfig, weights: Mapping[str, np.ndarray], device: str):
        self.config, self.device = config, device
        self.tensors = {k: torch.from_numpy(np.array(v)).to(device) for k, v in weights.items()}
        self.places: dict[tuple, Tensor | None] = {}

    def _conv(self, name: str, x: Tensor, stride: int = 1, dilation: int = 1, groups: int = 1):
        kernel, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        padding = dilation * (kernel.shape[-1] // 2)
        return F.conv2d(x, kernel, bias, stride, padding, dilation, groups)

    def _conv_prelu(self, name: str, prelu: str, x: Tensor, stride: int = 1) -> Tensor:
        return F.prelu(self._conv(name, x, stride), self.tensors[f"{prelu}.weight"])

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])

    def _norm(self, name: str, x: Tensor, epsilon: float = 1e-6) -> Tensor:
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        return F.layer_norm(x, x.shape[-1:], weight, bias, epsilon)

    def _stage(self, number: int, x: Tensor) -> Tensor:
        for layer in range(self.config.depths[number - 1]):
            name = f"feature_bone.block{number}.conv"
            x = self._conv_prelu(f"{name}.{2 * layer}", f"{name}.{2 * layer + 1}", x)
        return x

    def _mask(self, grid: WindowGrid) -> Tensor | None:
        """Kept from call to call, as upstream keeps it."""
        key = (grid.height, grid.width, grid.shift)
        if key not in self.places:
            mask = grid.mask()
            made = None if mask is None else torch.from_numpy(np.array(mask)).to(self.device)
            self.places[key] = made
        return self.places[key]

    def _partition(self, x: Tensor, grid: WindowGrid) -> Tensor:
        """[f, h, w, c] -> [f, windows, tokens, c]."""
        (top, bottom), (left, right) = grid.padding
        x = F.pad(x, (0, 0, left, right, top, bottom))
        x = torch.roll(x, (-grid.shift, -grid.shift), dims=(1, 2))
        side = grid.window
        x = x.unflatten(1, (-1, side)).unflatten(3, (-1, side)).transpose(2, 3)
        return x.flatten(1, 2).flatten(2, 3)

    def _merge(self, x: Tensor, grid: WindowGrid) -> Tensor:
        side, (height, width) = grid.window, grid.padded
        x = x.unflatten(2, (side, side)).unflatten(1, (height // side, width // side))
        x = x.transpose(2, 3).flatten(3, 4).flatten(1, 2)
        x = torch.roll(x, (grid.shift, grid.shift), dims=(1, 2))
        (top, _), (left, _) = grid.padding
        return x[:, top : top + grid.height, left : left + grid.width]

    def _attention(
        self, name: str, block: BlockConfig, own: Tensor, place: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        def heads(x: Tensor) -> Tensor:
            return x.unflatten(-1, (block.heads, -1)).transpose(-3, -2)

        query = heads(self._linear(f"{name}.q", own))
        key, value = (heads(x) for x in self._linear(f"{name}.kv", own.flip(0)).chunk(2, dim=-1))
        place = heads(self._linear(f"{name}.cor_embed", place))
        logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
        if mask is not None:
            logits = logits + mask[:, None]
        weights = logits.softmax(dim=-1)
        mixed = (weights @ value).transpose(-3, -2).flatten(-2)
        moved = (weights @ place - place).transpose(-3, -2).flatten(-2)
        return self._linear(f"{name}.proj", mixed), self._linear(f"{name}.motion_proj", moved)

    def _block(self, name: str, block: BlockConfig, x: Tensor, shift: int) -> tuple[Tensor, Tensor]:
        grid = WindowGrid(x.shape[1], x.shape[2], block.window, shift)
        coordinates = torch.from_numpy(coordinate_grid(x.shape[1], x.shape[2])).to(self.device)
        own = self._norm(f"{name}.norm1", self._partition(x, grid))
        place = self._partition(coordinates[None], grid)
        appearance, motion = self._attention(
            f"{name}.attn", block, own, place.expand(2, -1, -1, -1), self._mask(grid)
        )
        x = self._merge(own + appearance, grid)
        hidden = self._linear(f"{name}.mlp.fc1", self._norm(f"{name}.norm2", x))
        maps = hidden.permute(0, 3, 1, 2)
        maps = self._conv(f"{name}.mlp.dwconv.dwconv", maps, groups=maps.shape[1])
        x = x + self._linear(f"{name}.mlp.fc2", F.gelu(maps.permute(0, 2, 3, 1)))
        return x, self._merge(motion, grid)

    def _features(self, frames: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """(appearance, motion) of both frames, channels first."""
        x, appearance, motions = frames, [], []
        for number in (1, 2, 3):
            if number > 1:
                name = f"feature_bone.patch_embed{number}"
                x = self._conv_prelu(f"{name}.0", f"{name}.1", x, 2)
            x = self._stage(number, x)
            appearance.append(x)
        for number in (4, 5):
            name = f"feature_bone.patch_embed{number}"
            if number == 4:
                x = torch.cat(
                    [
                        self._conv(f"{name}.layers.{i}", appearance[stage - 1], stride, dilation)
                        for i, (stage, stride, dilation) in enumerate(BRANCHES)
                    ],
                    dim=1,
                )
            x = self._conv(f"{name}.proj", x, 1 if number == 4 else 2).permute(0, 2, 3, 1)
            x, moved = self._norm(f"{name}.norm", x, 1e-5), []
            block = self.config.block(number - 1)
            for layer in range(self.config.depths[number - 1]):
                shift = block.window // 2 if layer % 2 else 0
                x, motion = self._block(f"feature_bone.block{number}.{layer}", block, x, shift)
                moved.append(motion)
            x = self._norm(f"feature_bone.norm{number}", x).permute(0, 3, 1, 2)
            appearance.append(x)
            motions.append(torch.cat(moved, dim=-1).permute(0, 3, 1, 2))
        return appearance, motions

    def _head(
        self, number: int, scale: int, features: Tensor, known: Tensor, flow: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        reduction = 4 / scale
        parts = [F.pixel_shuffle(F.pixel_shuffle(features, 2), 2), resized(known, reduction)]
        if flow is not None:
            parts.append(resized(flow, reduction) * reduction)
        x = torch.cat(parts, dim=1)
        for layer in range(3):
            name = f"block.{number}.conv.{layer}"
            x = self._conv_prelu(f"{name}.0", f"{name}.1", x)
        x = resized(x, scale / 4)
        return x[:, :4] * (scale / 4), x[:, 4:]

    def _at_half(self, motion: Tensor, appearance: Tensor) -> Tensor:
        return torch.cat([motion[:1] * 0.5, motion[1:] * 0.5, *appearance.split(1)], dim=1)

    def _unet(self, x: Tensor, context: list[Tensor]) -> Tensor:
        skips = []
        for level in range(4):
            x, name = torch.cat([x, *context[level].split(1)], dim=1), f"unet.down{level}"
            x = self._conv_prelu(f"{name}.conv1.0", f"{name}.conv1.1", x, 2)
            x = self._conv_prelu(f"{name}.conv2.0", f"{name}.conv2.1", x)
            skips.append(x)
        x = torch.cat([x, *context[4].split(1)], dim=1)
        skips.pop()
        for level in range(4):
            kernel, bias = (self.tensors[f"unet.up{level}.0.{which}"] for which in WEIGHTS)
            x = F.conv_transpose2d(x, kernel, bias, stride=2, padding=1)
            x = F.prelu(x, self.tensors[f"unet.up{level}.1.weight"])
            if skips:
                x = torch.cat([x, skips.pop()], dim=1)
        return 2 * self._conv("unet.conv", x).sigmoid() - 1

    def __call__(self, frames: Tensor) -> Tensor:
        """frames: [2, 3, h, w]."""
        appearance, motion = self._features(frames)
        known = torch.cat(frames.split(1), dim=1)
        flow, mask = self._head(0, 16, self._at_half(motion[1], appearance[4]), known, None)
        warped = warp(frames, flow)
        known = torch.cat([known, *warped.split(1), mask], dim=1)
        change = self._head(1, 8, self._at_half(motion[0], appearance[3]), known, flow)
        flow, mask = flow + change[0], mask + change[1]
        warped = warp(frames, flow)
        share = mask.sigmoid()
        merged = warped[:1] * share + warped[1:] * (1 - share)
        context, level_flow = [], flow
        for level, features in enumerate(appearance):
            if level:
                level_flow = resized(level_flow, 0.5) * 0.5
            context.append(warp(features, level_flow))
        x = torch.cat([*frames.split(1), *warped.split(1), mask, flow], dim=1)
        return (merged + self._unet(x, context)).clamp(0, 1)


WEIGHTS = ("weight", "bias")


def resized(x: Tensor, factor: float) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def warp(frames: Tensor, flow: Tensor) -> Tensor:
    """Frame 0 by the flow's first two channels, frame 1 by its last two."""
    height, width = frames.shape[2:]
    flows = torch.cat([flow[:, :2], flow[:, 2:]])
    y = torch.linspace(-1, 1, height, device=flow.device)
    x = torch.linspace(-1, 1, width, device=flow.device)
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"))[None]
    sides = torch.tensor([(width - 1) / 2, (height - 1) / 2], device=flow.device)
    places = (grid + flows / sides[None, :, None, None]).permute(0, 2, 3, 1)
    return F.grid_sample(frames, places, "bilinear", "border", align_corners=True)


def middle_frame(
    config: NetworkConfig, weights: Mapping[str, np.ndarray], pair: np.ndarray, half: bool
):
    """A function that interpolates `pair` [1, 2, h, w, 3] -> [1, h, w, 3], float32 or mixed."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = Network(config, weights, device)
    frames = torch.from_numpy(pair[0]).to(device).permute(0, 3, 1, 2).contiguous()
    mixed = torch.autocast(device, torch.bfloat16, enabled=half)

    def run() -> np.ndarray:
        with torch.inference_mode(), mixed:
            return network(frames).float().permute(0, 2, 3, 1).cpu().numpy()

    return run
