"""UMT's stage-1 step in PyTorch operations, on official weight names: a yardstick for umt.py."""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np
import torch
from torch.nn import functional as F

from jaxvision.methods.umt.clip import ClipVision
from jaxvision.methods.umt.encoder import AlignedEncoder
from jaxvision.methods.umt.returned_layers import returned_layers
from jaxvision.methods.umt.weights import clip_entries, student_entries
from jaxvision.nn.positions import sincos_1d
from jaxvision.weights import to_state_dict


@dataclass
class Tensors:
    """Weights by official name.  epsilon: of the norms."""

    weights: dict[str, torch.Tensor]
    epsilon: float

    def linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return F.layer_norm(x, x.shape[-1:], weight, bias, self.epsilon)

    def attention(
        self, x: torch.Tensor, kernel: str, bias: torch.Tensor, out: str, heads: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(what comes out, the weights), one operation after another as upstream."""
        qkv = F.linear(x, self.weights[kernel], bias).unflatten(-1, (3, heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind()
        weights = ((query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)).softmax(dim=-1)
        return self.linear(out, (weights @ value).transpose(1, 2).flatten(2)), weights


def on_device(weights: Mapping[str, np.ndarray], device: str) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.array(w)).to(device) for name, w in weights.items()}


@dataclass
class Stage1:
    """Teacher, student and optimizer on the same weights as `variables`."""

    teacher: ClipVision
    student: AlignedEncoder
    variables: Mapping
    device: str = "cuda" if torch.cuda.is_available() else "cpu"

    def __post_init__(self):
        params = jax.device_get(self.variables["params"])
        its = to_state_dict({"params": params["teacher"]}, clip_entries(self.teacher))
        mine = {name: part for name, part in params.items() if name != "teacher"}
        named = to_state_dict({"params": mine}, student_entries(self.student))
        self.its = Tensors(on_device(its, self.device), self.teacher.block.norm_epsilon)
        self.mine = Tensors(on_device(named, self.device), self.student.block.norm_epsilon)
        for weight in self.mine.weights.values():
            weight.requires_grad_()
        width, tokens = self.student.block.width, self.student.grid.tokens
        self.positions = torch.from_numpy(np.array(sincos_1d(tokens, width))).to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.mine.weights.values(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.05
        )

    @torch.no_grad()
    def targets(self, video: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        """[k, b, m, out] at `visible` tokens: the whole last block for every token, as published.

        video: [b, 3, t, h, w].
        """
        weights, model = self.its.weights, self.teacher
        heads, patch = model.block.heads, model.grid.patch
        frames = video.transpose(1, 2).flatten(0, 1)
        x = F.conv2d(frames, weights["conv1.weight"].squeeze(2), stride=patch)
        x = x.flatten(2).transpose(1, 2)
        token = weights["class_embedding"].expand(len(x), 1, -1)
        x = torch.cat([token, x], dim=1) + weights["positional_embedding"]
        x = self.its.norm("ln_pre", x)
        outputs = []
        for layer in range(model.depth):
            name = f"transformer.resblocks.{layer}"
            bias = weights[f"{name}.attn.in_proj_bias"]
            kernel, out = f"{name}.attn.in_proj_weight", f"{name}.attn.out_proj"
            mixed, _ = self.its.attention(
                self.its.norm(f"{name}.ln_1", x), kernel, bias, out, heads
            )
            x = x + mixed
            hidden = self.its.linear(f"{name}.mlp.c_fc", self.its.norm(f"{name}.ln_2", x))
            x = x + self.its.linear(f"{name}.mlp.c_proj", hidden * torch.sigmoid(1.702 * hidden))
            if layer in returned_layers(model.depth, model.returned, model.interval):
                outputs.append(x[:, 1:])
        x = self.its.norm("ln_post", torch.stack(outputs)) @ weights["proj"]
        x = F.normalize(x, dim=-1).reshape(len(x), len(video), -1, x.shape[-1])
        return x.gather(2, visible[None, :, :, None].expand(len(x), -1, -1, x.shape[-1]))

    def aligned(self, video: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        """The student's answer at `visible` tokens, which are all that it sees."""
        weights, model = self.mine.weights, self.student
        kernel, bias = (weights[f"encoder.patch_embed.proj.{name}"] for name in ("weight", "bias"))
        x = F.conv3d(video, kernel, bias, stride=kernel.shape[2:]).flatten(2).transpose(1, 2)
        kept = visible[:, :, None].expand(-1, -1, x.shape[-1])
        positions = self.positions[visible]
        x = x.gather(1, kept) + positions
        outputs = []
        for layer in range(model.depth):
            name = f"encoder.blocks.{layer}"
            query, value = (weights[f"{name}.attn.{which}_bias"] for which in "qv")
            bias = torch.cat([query, torch.zeros_like(value), value])
            normed = self.mine.norm(f"{name}.norm1", x)
            mixed, _ = self.mine.attention(
                normed, f"{name}.attn.qkv.weight", bias, f"{name}.attn.proj", model.block.heads
            )
            x = x + mixed
            hidden = self.mine.linear(f"{name}.mlp.fc1", self.mine.norm(f"{name}.norm2", x))
            x = x + self.mine.linear(f"{name}.mlp.fc2", F.gelu(hidden))
            if layer in returned_layers(model.depth, model.returned, model.interval):
                outputs.append(self.mine.norm("encoder.norm", x) + positions)
        answers = [
            self.mine.norm(f"clip_decoder.{k}.norm", self.mine.linear(f"clip_decoder.{k}.head", x))
            for k, x in enumerate(outputs)
        ]
        return F.normalize(torch.stack(answers), dim=-1)

    def step(self, video: torch.Tensor, visible: torch.Tensor) -> float:
        """One step of AdamW; the loss before it. Mixed precision on a GPU, as upstream trains."""
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            targets = self.targets(video, visible)
            answers = self.aligned(video, visible).float()
            loss = (2 - 2 * (answers * targets).sum(dim=-1)).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def inputs(self, video: np.ndarray, visible: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixels [b, t, h, w, 3] and tokens as the step takes them."""
        clips = torch.from_numpy(np.array(video)).to(self.device).permute(0, 4, 1, 2, 3)
        return clips.contiguous(), torch.from_numpy(np.array(visible, np.int64)).to(self.device)
