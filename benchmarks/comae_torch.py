"""CoMAE's pretraining stages in PyTorch, on official weight names: a yardstick for comae.py."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch.nn import functional as F

from jaxvision.methods.comae.model import MultiModalAutoencoder, PatchContrast, PatchGrid
from jaxvision.nn.transformer import BlockConfig

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
EMBEDDINGS = ("patch_embed", "patch_embed2")


class Network:
    """What both stages share. fused: PyTorch's own attention; else scores, softmax and weights one
    by one, as published."""

    def __init__(self, weights: Mapping[str, np.ndarray], fused: bool):
        self.fused = fused
        self.tensors = {
            name: torch.from_numpy(np.array(value)).to(DEVICE).requires_grad_("pos_" not in name)
            for name, value in weights.items()
        }

    def optimizer(self) -> torch.optim.Optimizer:
        learned = [value for value in self.tensors.values() if value.requires_grad]
        return torch.optim.AdamW(learned, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.05)

    def linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])

    def norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        return F.layer_norm(x, x.shape[-1:], weight, bias, 1e-6)

    def block(self, name: str, block: BlockConfig, x: torch.Tensor) -> torch.Tensor:
        qkv = self.linear(f"{name}.attn.qkv", self.norm(f"{name}.norm1", x))
        heads = qkv.unflatten(-1, (3, block.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind()
        if self.fused:
            mixed = F.scaled_dot_product_attention(query, key, value)
        else:
            scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
            mixed = scores.softmax(dim=-1) @ value
        x = x + self.linear(f"{name}.attn.proj", mixed.transpose(1, 2).flatten(2))
        hidden = F.gelu(self.linear(f"{name}.mlp.fc1", self.norm(f"{name}.norm2", x)))
        return x + self.linear(f"{name}.mlp.fc2", hidden)

    def embedded(self, name: str, picture: torch.Tensor) -> torch.Tensor:
        """Tokens [b, n, d] of pictures [b, 3, h, w]."""
        kernel, bias = (self.tensors[f"{name}.proj.{leaf}"] for leaf in ("weight", "bias"))
        return F.conv2d(picture, kernel, bias, stride=kernel.shape[2:]).flatten(2).transpose(1, 2)

    def contrast(self, model: PatchContrast, rgb: torch.Tensor, depth: torch.Tensor):
        """Stage 1's loss: the modalities one after the other in each block, pairs one by one."""
        tokens = [
            self.embedded(name, picture)
            for name, picture in zip(EMBEDDINGS, (rgb, depth), strict=True)
        ]
        for layer in range(model.depth):
            tokens = [self.block(f"blocks.{layer}", model.block, x) for x in tokens]
        seen_rgb, seen_depth = (x / x.norm(dim=-1, keepdim=True) for x in tokens)
        scale = self.tensors["logit_scale"].exp()
        diagonal = torch.arange(seen_rgb.shape[1], device=DEVICE)
        losses = []
        for one, other in zip(seen_rgb, seen_depth, strict=True):
            logits = scale * one @ other.T
            losses.append(F.cross_entropy(logits, diagonal) + F.cross_entropy(logits.T, diagonal))
        return torch.stack(losses).mean() / 2

    def autoencoder(
        self,
        model: MultiModalAutoencoder,
        pictures: tuple[torch.Tensor, torch.Tensor],
        noises: tuple[torch.Tensor, torch.Tensor],
        kept: int,
    ):
        """Stage 2's loss, of the patches of the smallest of `noises` [b, n] kept."""
        positions, decoder_positions = (self.tensors[f"{p}pos_embed"] for p in ("", "decoder_"))
        parts, orders = [], []
        for name, picture, noise in zip(EMBEDDINGS, pictures, noises, strict=True):
            tokens = self.embedded(name, picture) + positions[:, 1:]
            order = noise.argsort(dim=1)
            places = order[:, :kept, None].expand(-1, -1, tokens.shape[-1])
            first = (self.tensors["cls_token"] + positions[:, :1]).expand(len(tokens), -1, -1)
            parts += [first, tokens.gather(1, places)]
            orders.append(order)
        x = torch.cat(parts, dim=1)
        for layer in range(model.depth):
            x = self.block(f"blocks.{layer}", model.block, x)
        parts = []
        for number, part, order in zip(
            ("", "2"), self.norm("norm", x).chunk(2, dim=1), orders, strict=True
        ):
            x = self.linear(f"decoder_embed{number}", part)
            hidden = self.tensors["mask_token"].expand(len(x), order.shape[1] - kept, -1)
            restore = order.argsort(dim=1)[..., None].expand(-1, -1, x.shape[-1])
            places = torch.cat([x[:, 1:], hidden], dim=1).gather(1, restore)
            parts.append(torch.cat([x[:, :1], places], dim=1) + decoder_positions)
        x = torch.cat(parts, dim=1)
        for layer in range(model.decoder_depth):
            x = self.block(f"decoder_blocks.{layer}", model.decoder_block, x)
        loss = torch.zeros((), device=DEVICE)
        for number, part, picture, order in zip(
            ("", "2"), self.norm("decoder_norm", x).chunk(2, dim=1), pictures, orders, strict=True
        ):
            predicted = self.linear(f"decoder_pred{number}", part[:, 1:])
            target = patches(picture, model.grid)
            deviation = (target.var(dim=-1, keepdim=True) + 1e-6).sqrt()
            target = (target - target.mean(dim=-1, keepdim=True)) / deviation
            mask = torch.ones_like(order, dtype=predicted.dtype).scatter(1, order[:, :kept], 0)
            error = (predicted - target).square().mean(dim=-1)
            loss = loss + (error * mask).sum() / mask.sum()
        return loss


def patches(picture: torch.Tensor, grid: PatchGrid) -> torch.Tensor:
    """[b, 3, h, w] -> [b, n, (row, column, channel)]."""
    window, side = grid.window, grid.patch
    cut = picture.unflatten(3, (window, side)).unflatten(2, (window, side))
    return cut.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def stepper(network: Network, loss_of: Callable[[], torch.Tensor]) -> Callable[[], float]:
    """A step of AdamW on `loss_of`, which gives the loss before it (bfloat16 products on a GPU)."""
    optimizer = network.optimizer()

    def step() -> float:
        with torch.autocast(DEVICE, torch.bfloat16, enabled=DEVICE == "cuda"):
            loss = loss_of()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def placed(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array).to(DEVICE)


def contrast_step(
    model: PatchContrast, weights: Mapping[str, np.ndarray], pair: Mapping[str, np.ndarray], fused
) -> Callable[[], float]:
    """A step of stage 1 on `pair`: rgb and depth, float32 [b, h, w, 3]."""
    network = Network(weights, fused)
    rgb, depth = pictures_of(pair)
    return stepper(network, lambda: network.contrast(model, rgb, depth))


def autoencoder_step(
    model: MultiModalAutoencoder,
    weights: Mapping[str, np.ndarray],
    pair: Mapping[str, np.ndarray],
    fused: bool,
) -> Callable[[], float]:
    """A step of stage 2 on `pair`: rgb, depth, and for each `noise_*` [b, n]; a quarter is kept."""
    network = Network(weights, fused)
    noises = (placed(pair["noise_rgb"]), placed(pair["noise_depth"]))
    pictures, kept = pictures_of(pair), model.grid.patches // 4
    return stepper(network, lambda: network.autoencoder(model, pictures, noises, kept))


def pictures_of(pair: Mapping[str, np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    rgb, depth = (placed(pair[name]).permute(0, 3, 1, 2).contiguous() for name in ("rgb", "depth"))
    return rgb, depth
