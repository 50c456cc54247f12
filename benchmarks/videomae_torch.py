"""VideoMAE's classifier in PyTorch, on official weight names: a yardstick for videomae_step.py."""

import functools
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from flax.core import meta
from torch.nn import functional as F

from jaxvision.nn.positions import sincos_1d
from jaxvision.nn.video_transformer import VideoClassifier
from jaxvision.weights import to_state_dict
from jaxvision.weights.video_transformer_entries import classification_entries


class Network:
    """fused: PyTorch's own attention; else scores, softmax and weights one by one, as upstream."""

    def __init__(self, model: VideoClassifier, weights: Mapping[str, np.ndarray], fused: bool):
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model, self.fused = model, fused
        self.tensors = {
            name: torch.from_numpy(np.array(value)).to(self.device).requires_grad_()
            for name, value in weights.items()
        }

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])

    def _norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        return F.layer_norm(x, x.shape[-1:], weight, bias, self.model.block.norm_epsilon)

    def _attention(self, name: str, x: torch.Tensor) -> torch.Tensor:
        query_bias, value_bias = (self.tensors[f"{name}.{which}_bias"] for which in "qv")
        bias = torch.cat([query_bias, torch.zeros_like(value_bias), value_bias])
        qkv = F.linear(x, self.tensors[f"{name}.qkv.weight"], bias)
        heads = qkv.unflatten(-1, (3, self.model.block.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind()
        if self.fused:
            mixed = F.scaled_dot_product_attention(query, key, value)
        else:
            scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
            mixed = scores.softmax(dim=-1) @ value
        return self._linear(f"{name}.proj", mixed.transpose(1, 2).flatten(2))

    def __call__(self, video: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Logits of [b, 3, t, h, w]."""
        kernel, bias = (self.tensors[f"patch_embed.proj.{name}"] for name in ("weight", "bias"))
        x = F.conv3d(video, kernel, bias, stride=kernel.shape[2:]).flatten(2).transpose(1, 2)
        x = x + positions
        for layer in range(self.model.depth):
            name = f"blocks.{layer}"
            x = x + self._attention(f"{name}.attn", self._norm(f"{name}.norm1", x))
            hidden = self._linear(f"{name}.mlp.fc1", self._norm(f"{name}.norm2", x))
            x = x + self._linear(f"{name}.mlp.fc2", F.gelu(hidden))
        return self._linear("head", self._norm("fc_norm", x.mean(dim=1)))

    def ways(
        self, video: np.ndarray, labels: np.ndarray, positions: np.ndarray
    ) -> tuple[Callable[[], np.ndarray], Callable[[], None]]:
        """The forward pass, and a step of AdamW, each of the same clips."""
        clips = torch.from_numpy(video).to(self.device).permute(0, 4, 1, 2, 3).contiguous()
        wanted = torch.from_numpy(labels).to(self.device)
        table = torch.from_numpy(positions).to(self.device)
        optimizer = torch.optim.AdamW(self.tensors.values(), lr=1e-4, weight_decay=0.05)
        half = torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda")

        def forward() -> np.ndarray:
            with torch.inference_mode(), half:
                return self(clips, table).float().cpu().numpy()

        def step() -> None:
            with half:
                loss = F.cross_entropy(self(clips, table), wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()

        return forward, step


def compare(model: VideoClassifier, clips: int, rounds: int) -> list[tuple[str, float, float]]:
    """(what, our seconds, seconds in PyTorch over ours) for the forward pass and a training step,
    of the same weights and clips, taking turns. Raises if the answers differ."""
    rng = np.random.default_rng(0)
    grid = model.grid
    video = rng.standard_normal((clips, grid.frames, *grid.image_size, 3), np.float32)
    labels = rng.integers(0, model.classes, clips)
    variables = random_variables(model, video)
    weights = to_state_dict(variables, classification_entries(model))
    positions = np.asarray(sincos_1d(grid.tokens, model.block.width), np.float32)

    forward = jax.jit(model.apply)
    optimizer = optax.adamw(1e-4, weight_decay=0.05)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: tuple, video: jax.Array, labels: jax.Array) -> tuple:
        variables, moments = state

        def loss(variables: dict) -> jax.Array:
            logits = model.apply(variables, video)
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))

        updates, moments = optimizer.update(jax.grad(loss)(variables), moments, variables)
        return optax.apply_updates(variables, updates), moments

    placed, wanted = jnp.asarray(video), jnp.asarray(labels)
    state = [jax.tree.map(jnp.copy, (variables, optimizer.init(variables)))]

    def our_step() -> None:
        state[0] = jax.block_until_ready(step(state[0], placed, wanted))

    ours = (lambda: np.asarray(forward(variables, placed)), our_step)
    logits = ours[0]()
    rows = []
    for name, fused in (("fused attention", True), ("attention as published", False)):
        theirs = Network(model, weights, fused).ways(video, labels, positions)
        error = float(np.abs(theirs[0]() - logits).max())
        if error > (2e-3 if model.block.dtype == jnp.float32 else 0.1):
            raise SystemExit(f"PyTorch's logits differ from ours by {error:.2g}")
        for what, mine, other in zip(("forward", "step"), ours, theirs, strict=True):
            pairs = [(seconds(mine), seconds(other)) for _ in range(rounds + 1)][1:]
            ratio = statistics.median(b / a for a, b in pairs)
            rows.append((f"{what}, {name}", statistics.median(a for a, _ in pairs), ratio))
    return rows


def random_variables(model: VideoClassifier, video: np.ndarray) -> Any:
    """Small random weights everywhere, so that no branch of the network is zero."""
    shapes = meta.unbox(jax.eval_shape(model.init, jax.random.key(0), video))
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda x: jnp.asarray(0.02 * rng.standard_normal(x.shape), jnp.float32), shapes
    )


def seconds(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
