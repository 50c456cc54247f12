"""The temporal U-Net and its DDIM sampler in PyTorch, on official weight names: a yardstick."""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from jaxvision.methods.pdpp.diffusion import cosine_schedule
from jaxvision.methods.pdpp.model import TemporalUNet
from jaxvision.methods.pdpp.planner import Sampler
from jaxvision.methods.pdpp.weights import unet_entries
from jaxvision.weights import to_state_dict


class Network:
    """Whole states through the published network, channels first."""

    def __init__(self, model: TemporalUNet, state_dict: dict[str, np.ndarray], device: str):
        self.width, self.levels = model.width, len(model.widths)
        self.tensors = {k: torch.from_numpy(np.array(v)).to(device) for k, v in state_dict.items()}

    def _pair(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        return self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]

    def _block(self, name: str, x: torch.Tensor) -> torch.Tensor:
        x = F.conv1d(x, *self._pair(f"{name}.block.0"), padding=1)
        return F.mish(F.group_norm(x, 32, *self._pair(f"{name}.block.2")))

    def _residual(self, name: str, x: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        y = self._block(f"{name}.blocks.0", x)
        y = y + F.linear(F.mish(e), *self._pair(f"{name}.time_mlp.1"))[..., None]
        y = self._block(f"{name}.blocks.1", y)
        if f"{name}.residual_conv.weight" in self.tensors:
            x = F.conv1d(x, *self._pair(f"{name}.residual_conv"))
        return y + x

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        half = self.width // 2
        steps = torch.arange(half, device=x.device)
        angles = t[:, None] * torch.exp(-steps * (np.log(10000) / (half - 1)))
        e = torch.cat([angles.sin(), angles.cos()], dim=-1)
        e = F.mish(F.linear(e, *self._pair("time_mlp.1")))
        e = F.linear(e, *self._pair("time_mlp.3"))
        x, skips = x.transpose(1, 2), []
        for level in range(self.levels):
            x = self._residual(f"downs.{level}.0", x, e)
            x = self._residual(f"downs.{level}.1", x, e)
            skips.append(x)
            if level < self.levels - 1:
                x = F.conv1d(x, *self._pair(f"downs.{level}.2.conv"))
        x = self._residual("mid_block2", self._residual("mid_block1", x, e), e)
        for level in range(self.levels - 1):
            x = torch.cat([x, skips.pop()], dim=1)
            x = self._residual(f"ups.{level}.0", x, e)
            x = self._residual(f"ups.{level}.1", x, e)
            x = F.conv_transpose1d(x, *self._pair(f"ups.{level}.2.conv"))
        x = F.conv1d(self._block("final_conv.0", x), *self._pair("final_conv.1"))
        return x.transpose(1, 2)


def sampler(
    model: TemporalUNet, variables: dict, how: Sampler, draws: tuple, device: str
) -> Callable[[], np.ndarray]:
    """A function that runs the whole chain on whole states and answers the action scores."""
    network = Network(model, to_state_dict(variables, unet_entries(model)), device)
    task, start, goal, noise = (torch.from_numpy(np.array(x)).to(device) for x in draws)
    samples, horizon = len(noise) // len(task), noise.shape[1]
    task, start, goal = (x.repeat_interleave(samples, dim=0) for x in (task, start, goal))
    layout, tables = model.layout, cosine_schedule(how.diffusion_steps)
    visited = [int(t) for t in how.reverse_steps()[0]]

    def project(x: torch.Tensor) -> torch.Tensor:
        x[..., layout.class_part] = task[:, None]
        x[..., layout.observation_part] = 0
        x[:, 0, layout.observation_part] = start
        x[:, -1, layout.observation_part] = goal
        return x

    @torch.no_grad()
    def run() -> np.ndarray:
        x = torch.zeros(len(noise), horizon, layout.width, device=device)
        x[..., layout.action_part] = noise
        x = project(x)
        for number, t in enumerate(visited):
            clean = network(x, torch.full((len(x),), t, device=device))
            scale, spread = (
                float(table[t])
                for table in (tables.sqrt_recip_alphas_cumprod, tables.sqrt_recipm1_alphas_cumprod)
            )
            last = number == len(visited) - 1
            before = 1.0 if last else float(tables.alphas_cumprod[visited[number + 1]])
            eps = (scale * x - clean) / spread
            x = project(before**0.5 * clean + (1 - before) ** 0.5 * eps)
        return x[..., layout.action_part].cpu().numpy()

    return run
