"""VideoMAE's classifier and pretraining in PyTorch, on official weight names: a yardstick for
videomae_step.py."""

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

from jaxvision.methods.videomae.model import MaskedAutoencoder
from jaxvision.methods.videomae.task import PretrainingTask
from jaxvision.methods.videomae.weights import pretraining_entries
from jaxvision.nn.positions import sincos_1d
from jaxvision.nn.transformer import BlockConfig
from jaxvision.nn.video_transformer import VideoClassifier
from jaxvision.weights import to_state_dict
from jaxvision.weights.video_transformer_entries import classification_entries


class Tensors:
    """Weights by official name, and the layers that transformers are made of.

    fused: PyTorch's own attention; else scores, softmax and weights one by one, as upstream.
    """

    def __init__(self, weights: Mapping[str, np.ndarray], fused: bool):
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.fused = fused
        self.tensors = {
            name: torch.from_numpy(np.array(value)).to(self.device).requires_grad_()
            for name, value in weights.items()
        }

    def linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])

    def norm(self, name: str, x: torch.Tensor, epsilon: float) -> torch.Tensor:
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        return F.layer_norm(x, x.shape[-1:], weight, bias, epsilon)

    def cubes(self, prefix: str, video: torch.Tensor) -> torch.Tensor:
        """[b, n, d] of [b, 3, t, h, w]."""
        names = (f"{prefix}patch_embed.proj.{name}" for name in ("weight", "bias"))
        kernel, bias = (self.tensors[name] for name in names)
        return F.conv3d(video, kernel, bias, stride=kernel.shape[2:]).flatten(2).transpose(1, 2)

    def blocks(self, prefix: str, x: torch.Tensor, depth: int, block: BlockConfig) -> torch.Tensor:
        for layer in range(depth):
            name, epsilon = f"{prefix}blocks.{layer}", block.norm_epsilon
            mixed = self.norm(f"{name}.norm1", x, epsilon)
            x = x + self._attention(f"{name}.attn", mixed, block.heads)
            hidden = self.linear(f"{name}.mlp.fc1", self.norm(f"{name}.norm2", x, epsilon))
            x = x + self.linear(f"{name}.mlp.fc2", F.gelu(hidden))
        return x

    def _attention(self, name: str, x: torch.Tensor, heads: int) -> torch.Tensor:
        query_bias, value_bias = (self.tensors[f"{name}.{which}_bias"] for which in "qv")
        bias = torch.cat([query_bias, torch.zeros_like(value_bias), value_bias])
        qkv = F.linear(x, self.tensors[f"{name}.qkv.weight"], bias)
        query, key, value = qkv.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4).unbind()
        if self.fused:
            mixed = F.scaled_dot_product_attention(query, key, value)
        else:
            scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
            mixed = scores.softmax(dim=-1) @ value
        return self.linear(f"{name}.proj", mixed.transpose(1, 2).flatten(2))

    def half(self) -> torch.autocast:
        """Mixed precision, on a GPU."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda")


class Network(Tensors):
    """The classifier."""

    def __init__(self, model: VideoClassifier, weights: Mapping[str, np.ndarray], fused: bool):
        super().__init__(weights, fused)
        self.model = model

    def __call__(self, video: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Logits of [b, 3, t, h, w]."""
        block = self.model.block
        x = self.blocks("", self.cubes("", video) + positions, self.model.depth, block)
        return self.linear("head", self.norm("fc_norm", x.mean(dim=1), block.norm_epsilon))

    def ways(
        self, video: np.ndarray, labels: np.ndarray, positions: np.ndarray
    ) -> tuple[Callable[[], np.ndarray], Callable[[], None]]:
        """The forward pass, and a step of AdamW, each of the same clips."""
        clips = torch.from_numpy(video).to(self.device).permute(0, 4, 1, 2, 3).contiguous()
        wanted = torch.from_numpy(labels).to(self.device)
        table = torch.from_numpy(positions).to(self.device)
        optimizer = torch.optim.AdamW(self.tensors.values(), lr=1e-4, weight_decay=0.05)
        half = self.half()

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


class Autoencoder(Tensors):
    """Pretraining with dual masking, of clips that are on the device as `PretrainingTask.prepare`
    made them."""

    def __init__(
        self, model: MaskedAutoencoder, variables: Any, batch: Mapping[str, jax.Array], fused: bool
    ):
        super().__init__(to_state_dict(variables, pretraining_entries(model)), fused)
        self.model = model
        self.optimizer = torch.optim.AdamW(
            self.tensors.values(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.05
        )
        arrays = {name: torch.from_numpy(np.array(value)) for name, value in batch.items()}
        here = {name: value.to(self.device) for name, value in arrays.items()}
        self.video = here["input"].float().permute(0, 4, 1, 2, 3).contiguous()
        self.pixels = here["video"].permute(0, 4, 1, 2, 3).contiguous()
        self.visible, self.decoded = here["visible"].long(), here["decoded"].long()
        self.hidden = here["hidden"].float()
        self.encoder_positions, self.decoder_positions = (
            torch.from_numpy(np.array(sincos_1d(model.grid.tokens, block.width), np.float32)).to(
                self.device
            )
            for block in (model.encoder_block, model.decoder_block)
        )

    def __call__(self) -> torch.Tensor:
        """[b, k, cube]: the decoded tokens' pixels."""
        model = self.model
        x = self.cubes("encoder.", self.video) + self.encoder_positions
        x = self.blocks(
            "encoder.", taken(x, self.visible), model.encoder_depth, model.encoder_block
        )
        x = self.norm("encoder.norm", x, model.encoder_block.norm_epsilon)
        x = F.linear(x, self.tensors["encoder_to_decoder.weight"])
        masked = self.tensors["mask_token"] + self.decoder_positions[self.decoded]
        x = torch.cat([x + self.decoder_positions[self.visible], masked], dim=1)
        x = self.blocks("decoder.", x, model.decoder_depth, model.decoder_block)
        x = x[:, self.visible.shape[1] :]
        return self.linear(
            "decoder.head", self.norm("decoder.norm", x, model.decoder_block.norm_epsilon)
        )

    @torch.no_grad()
    def targets(self) -> torch.Tensor:
        """[b, k, cube]: pixels of the decoded tokens, normalised by cube and colour."""
        grid = self.model.grid
        x = self.pixels.float() / 255
        for axis, side in ((2, grid.tubelet), (4, grid.patch), (6, grid.patch)):
            x = x.unflatten(axis, (-1, side))
        # [b, 3, t, tubelet, h, patch, w, patch], of which tokens first and colours last.
        x = x.permute(0, 2, 4, 6, 3, 5, 7, 1).flatten(1, 3).flatten(2, 4)
        x = (x - x.mean(dim=2, keepdim=True)) / (x.std(dim=2, keepdim=True) + 1e-6)
        return taken(x.flatten(2), self.decoded)

    def loss(self) -> torch.Tensor:
        with self.half():
            error = (self().float() - self.targets()).square().mean(dim=-1)
        return (error * self.hidden).sum() / self.hidden.sum()

    def step(self) -> None:
        loss = self.loss()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        loss.item()


def taken(x: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """x[b, tokens[b]]."""
    return x.gather(1, tokens[:, :, None].expand(-1, -1, x.shape[-1]))


def compare_pretraining(
    task: PretrainingTask,
    variables: Any,
    batch: Mapping[str, jax.Array],
    ours: Callable[[], float],
    rounds: int,
) -> list[tuple[str, float]]:
    """(which attention, seconds of PyTorch's step over those of `ours`), taking turns, of the same
    weights, clips and masks. Raises if the losses differ.

    batch: as the task packs it.  ours: a step, and the seconds that it took.
    """
    key = jax.random.key(0)
    shown = jax.jit(lambda batch: task.prepare(batch, key, True))(batch)
    wanted = float(jax.jit(lambda v, b: task.loss(v, b, key, True)[0])(variables, shown))
    names = ("input", "video", "visible", "decoded", "hidden")
    kept = {name: np.asarray(shown[name]) for name in names}
    rows = []
    for name, fused in (("fused attention", True), ("attention as published", False)):
        theirs = Autoencoder(task.model, variables, kept, fused)
        found = theirs.loss().item()
        tolerance = 1e-4 if task.model.encoder_block.dtype == jnp.float32 else 1e-2
        if abs(found - wanted) > tolerance * abs(wanted):
            raise SystemExit(f"PyTorch's loss is {found:.6g}, ours {wanted:.6g}")
        pairs = [(ours(), seconds(theirs.step)) for _ in range(rounds + 1)][1:]
        rows.append((name, statistics.median(b / a for a, b in pairs)))
    return rows


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
