"""VideoMAE's pretraining step: dual masking, scanned blocks, bfloat16, utilisation.

    python benchmarks/videomae_step.py [--size b] [--clips 2] [--frames 16] [--steps 2]

One run, one table. Each row is a whole step (loss, gradient, optimizer) of the engine on clips that
are on the device already; the ways take turns, and ratios are medians over the rounds. Counted
operations are those of the matrix products, recomputation left out. Utilisation is counted
operations over time and the device's peak at dense bfloat16, where that is known. Where torch can
be imported, the classifier's forward pass and step run beside the same network in PyTorch.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.core import meta
from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from jaxvision.data.source import Source
from jaxvision.methods.videomae.task import PretrainingTask
from jaxvision.nn.transformer import Block, BlockConfig, TransformerStack, drop_path_rates
from jaxvision.nn.video_transformer import CubeGrid, VideoClassifier
from jaxvision.planning.topologies import CHIPS, kind_of
from jaxvision.training.config import load_config
from jaxvision.training.run import prepare_run
from jaxvision.training.sharding import place


@dataclass(frozen=True)
class RandomClip:
    """One clip, again and again."""

    clip: np.ndarray

    def __len__(self) -> int:
        return 4096

    def __getitem__(self, index: int) -> dict:
        return {"video": self.clip}

    def name(self, index: int) -> str:
        return f"clip {index}"


class FreeData(PretrainingTask):
    """Pretraining on a clip that costs nothing to read."""

    def source(self, split: str) -> Source:
        model = self.config.model
        shape = (model.frames, *model.image_size, 3)
        clip = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        return Source(RandomClip(clip), self.config.train.batch_size)


def recipe(arguments: argparse.Namespace, **changes: Any) -> ConfigDict:
    """The published recipe of a size, on few clips."""
    settings = {
        "train.batch_size": arguments.clips,
        "train.epochs": 0.0,
        "train.steps": 1000,
        "optim.learning_rate.warmup_epochs": 0,
        "task.crops_per_clip": 1,
        "model.frames": arguments.frames,
        "mesh.data": 1,
        **getattr(arguments, "settings", {}),
        **changes,
    }
    words = [f"{key}={value}" for key, value in settings.items()]
    return load_config(f"videomae/vit_{arguments.size}_hybrid_pretrain", words)


@dataclass
class Way:
    """A compiled step with its state. flops: counted, of one step.  seconds: of each round."""

    task: PretrainingTask
    flops: float
    compile_seconds: float
    step: Callable
    state: Any
    batch: Any
    seconds: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, config: ConfigDict) -> "Way":
        task = FreeData(config)
        run = prepare_run(task, config, jax.devices()[:1])
        started = time.perf_counter()
        (step,) = run.compile().values()
        compiled = time.perf_counter() - started
        state, _ = run.initial_state(lambda source: {})
        batch = place(run.data[0].arrays, run.mesh, config.train.batch_size)
        way = cls(task, task.flops("train"), compiled, step, state, batch)
        way.round(1)
        way.seconds.clear()
        return way

    def round(self, steps: int) -> None:
        started = time.perf_counter()
        for _ in range(steps):
            self.state, metrics = self.step(self.state, self.batch)
        jax.block_until_ready(metrics)
        self.seconds.append((time.perf_counter() - started) / steps)


def unrolled_compile_seconds(config: ConfigDict, tokens: int) -> tuple[float, float]:
    """Seconds to compile the encoder's blocks, forward and backward: scanned, and one by one."""
    model = config.model
    block = BlockConfig(model.width, model.heads, mlp_ratio=model.mlp_ratio)
    stack = TransformerStack(block, model.depth)
    x = jax.ShapeDtypeStruct((config.train.batch_size, tokens, model.width), jnp.float32)
    variables = meta.unbox(jax.eval_shape(stack.init, jax.random.key(0), x))

    def scanned(variables: Any, x: jax.Array) -> jax.Array:
        return jnp.sum(stack.apply(variables, x))

    def unrolled(variables: Any, x: jax.Array) -> jax.Array:
        for layer, rate in enumerate(drop_path_rates(0.0, model.depth)):
            params = jax.tree.map(lambda leaf, n=layer: leaf[n], variables["params"]["blocks"])
            x, _ = Block(block).apply({"params": params}, x, jnp.float32(rate))
        return jnp.sum(x)

    def seconds(function: Callable) -> float:
        lowered = jax.jit(jax.grad(function)).lower(variables, x)
        started = time.perf_counter()
        lowered.compile()
        return time.perf_counter() - started

    return seconds(scanned), seconds(unrolled)


def peak() -> float | None:
    """The device's operations per second, where known."""
    kind = kind_of(jax.devices()[0].device_kind)
    return CHIPS[kind].flops if kind else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="b", choices=("b", "l", "h", "g"))
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--steps", type=int, default=2, help="of each way in a round")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    console = Console(width=110)
    settings = {
        "bfloat16, dual masking": {},
        "bfloat16, full decoder": {"task.decoder_mask_ratio": 0.0},
        "float32, dual masking": {"dtype": "float32"},
    }
    ways = {name: Way.of(recipe(arguments, **changes)) for name, changes in settings.items()}
    for _ in range(arguments.rounds):
        for way in ways.values():
            way.round(arguments.steps)
    first = ways["bfloat16, dual masking"]
    table = Table("step", "counted GFLOP", "of dual", "ms", "of dual", "compile s", "utilisation")
    for name, way in ways.items():
        seconds = statistics.median(way.seconds)
        pairs = zip(way.seconds, first.seconds, strict=True)
        used = way.flops / seconds / peak() if peak() else None
        table.add_row(
            name,
            f"{way.flops / 1e9:.0f}",
            f"{way.flops / first.flops:.2f}",
            f"{seconds * 1e3:.1f}",
            f"{statistics.median(a / b for a, b in pairs):.2f}",
            f"{way.compile_seconds:.1f}",
            f"{used:.0%}" if used is not None else "not measured",
        )
    kind = jax.devices()[0].device_kind
    console.print(f"ViT-{arguments.size}, {arguments.clips} clips of {arguments.frames} on {kind}")
    console.print(table)
    config = recipe(arguments)
    scanned, one_by_one = unrolled_compile_seconds(config, FreeData(config).visible_count)
    console.print(
        f"compiling the encoder's blocks: {scanned:.1f} s scanned, {one_by_one:.1f} s one by one "
        f"({one_by_one / scanned:.1f}x)"
    )
    versus_torch(arguments, console)


def classifier(arguments: argparse.Namespace) -> VideoClassifier:
    """The classifier of a size on clips of so many frames, in the dtype that PyTorch's runs in."""
    on_gpu = jax.default_backend() == "gpu"
    model = recipe(arguments).model
    block = BlockConfig(
        model.width,
        model.heads,
        mlp_ratio=model.mlp_ratio,
        dtype=jnp.bfloat16 if on_gpu else jnp.float32,
    )
    grid = CubeGrid(arguments.frames, tuple(model.image_size))
    return VideoClassifier(grid, block, model.depth, 400)


def versus_torch(arguments: argparse.Namespace, console: Console) -> None:
    """The classifier on every token beside the same network in PyTorch, where that is installed."""
    try:
        import videomae_torch
    except ImportError as error:
        console.print(f"beside PyTorch: not measured ({error})")
        return
    model = classifier(arguments)
    table = Table("classifier", "ms", "PyTorch / ours", title=f"{model.grid.tokens} tokens a clip")
    for what, mine, ratio in videomae_torch.compare(model, arguments.clips, arguments.rounds):
        table.add_row(what, f"{mine * 1e3:.0f}", f"{ratio:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
