"""`grid_sample` and compiled adaptive mixing in PyTorch: yardsticks for sparse_sampling.py."""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from jaxvision.ops.adaptive_mixing.argument_specs import MixingSpec
from jaxvision.ops.sparse_sampling.argument_specs import SamplingSpec

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ACTIVATIONS = {"gelu": F.gelu, "relu": F.relu, "none": lambda x: x}


def sampling(spec: SamplingSpec, batch: int, dtype: str) -> tuple[Callable, list[torch.Tensor]]:
    _, height, width = spec.levels[0]
    features = random(dtype, batch, spec.channels, height, width)
    points = 2 * torch.rand(batch, spec.tokens, spec.points, 2, device=DEVICE) - 1
    points = points.to(features.dtype).requires_grad_()

    def run(features: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        return F.grid_sample(features, points, padding_mode=spec.padding, align_corners=False)

    return run, [features, points]


def mixing(spec: MixingSpec, batch: int, dtype: str) -> tuple[Callable, list[torch.Tensor]]:
    n, p, c, o = batch * spec.tokens, spec.points, spec.channels, spec.outputs
    first, second = (ACTIVATIONS[name] for name in spec.activations)

    def finish(x: torch.Tensor) -> torch.Tensor:
        if spec.norm_epsilon is None:
            return x
        return F.layer_norm(x, x.shape[-2:], eps=spec.norm_epsilon)

    def run(x: torch.Tensor, channel: torch.Tensor, point: torch.Tensor) -> torch.Tensor:
        return second(finish(point @ first(finish(x @ channel))))

    inputs = [random(dtype, n, p, c), random(dtype, n, c, c), random(dtype, n, o, p)]
    torch.compiler.reset()  # it stops compiling one function for too many shapes
    return torch.compile(run), inputs


def random(dtype: str, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, device=DEVICE, dtype=getattr(torch, dtype)).requires_grad_()


def milliseconds(run: Callable, inputs: list[torch.Tensor], repeats: int) -> tuple[float, float]:
    """Median of (forward, forward and backward)."""

    def forward() -> None:
        with torch.no_grad():
            run(*inputs)

    def both() -> None:
        value = run(*inputs)
        torch.autograd.grad(value, inputs, value.detach())

    medians = []
    for function in (forward, both):
        function()
        taken = []
        for _ in range(repeats):
            started = time.perf_counter()
            function()
            if DEVICE == "cuda":
                torch.cuda.synchronize()
            taken.append(1000 * (time.perf_counter() - started))
        medians.append(float(np.median(taken)))
    return medians[0], medians[1]
