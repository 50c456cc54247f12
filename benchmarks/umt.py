"""UMT: stage 1's step beside PyTorch, the teacher's share of it, and re-ranked pairs a second.

    python benchmarks/umt.py [--size b] [--clips 1] [--rounds 2] [--only stage1|pairs]

One run, one table each; the ways take turns, ratios are medians over the rounds. The step is the
engine's (loss, gradient, AdamW) without drop path on clips that are on the device already; PyTorch
gets the same weights, clips and visible tokens, and the whole last block of the teacher, as
upstream. Re-ranking pair by pair projects a video's keys and values for each of its texts anew, as
upstream does; the scores must be equal.
"""

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from memory_held import compiled
from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table
from timing import alternately

from jaxvision.methods.umt.language import variants
from jaxvision.methods.umt.language.retrieval import matching_scores
from jaxvision.methods.umt.stage1_task import Stage1Task
from jaxvision.training.config import load_config

LENGTH = 32  # words of a text
RIVAL = "step in PyTorch operations"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="b", choices=("b", "l"))
    parser.add_argument("--clips", type=int, default=1)
    parser.add_argument("--videos", type=int, default=2, help="that texts are weighed against")
    parser.add_argument("--texts", type=int, default=32, help="of each video")
    parser.add_argument("--frames", type=int, default=12, help="of each of these videos")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", choices=("stage1", "pairs"), default="")
    arguments = parser.parse_args()
    console = Console(width=110)
    console.print(f"UMT {arguments.size.upper()}/16 on {jax.devices()[0].device_kind}")
    if arguments.only != "pairs":
        console.print(stage1(arguments))
    if arguments.only != "stage1":
        console.print(pairs(arguments))


def recipe(arguments: argparse.Namespace) -> ConfigDict:
    """The published recipe on few clips, its masks alone drawn."""
    dtype = "bfloat16" if jax.default_backend() == "gpu" else "float32"
    settings = {
        "train.batch_size": arguments.clips,
        "dtype": dtype,
        "frozen.dtype": dtype,
        "model.drop_path": 0.0,
        **getattr(arguments, "settings", {}),
    }
    words = [f"{key}={value}" for key, value in settings.items()]
    return load_config(f"umt/pretrain:size={arguments.size}", words)


def random_variables(init: Callable[[jax.Array], Any]) -> Any:
    """Small random values everywhere, so that no branch of a network is zero."""
    shapes = nn.unbox(jax.eval_shape(init, jax.random.key(0)))
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda x: jnp.asarray(0.02 * rng.standard_normal(x.shape), jnp.float32), shapes
    )


def stage1(arguments: argparse.Namespace) -> Table:
    """Of a step, of the teacher's part of it, and of PyTorch's step."""
    taken, _ = stage1_seconds(arguments)
    table = Table("stage 1", "ms", "of our step", title=f"{arguments.clips} clips a step")
    for name, seconds in taken.items():
        ratio = statistics.median(a / b for a, b in zip(seconds, taken["step"], strict=True))
        table.add_row(name, f"{statistics.median(seconds) * 1e3:.0f}", f"{ratio:.2f}")
    if RIVAL not in taken:
        table.add_row(RIVAL, "not measured", "")
    return table


def stage1_seconds(arguments: argparse.Namespace) -> tuple[dict[str, list[float]], Any]:
    """Of every round, taking turns: of the step, of its teacher, and of PyTorch's step where that
    is installed. And the compiled step."""
    task = Stage1Task(recipe(arguments))
    variables = random_variables(task.init)
    teacher, grid = {"teacher": variables["params"].pop("teacher")}, task.model.grid
    rng = np.random.default_rng(1)
    clips = rng.integers(0, 256, (arguments.clips, grid.frames, *grid.image_size, 3), np.uint8)
    batch = task.prepare({"video": jnp.asarray(clips)}, jax.random.key(0), True)
    optimizer = optax.adamw(1e-4, b2=0.95, weight_decay=0.05)

    def loss(student: Any, teacher: Any, batch: Any) -> jax.Array:
        params = {"params": student | teacher}
        return task.loss(params, batch, jax.random.key(0), True)[0]

    def step(state: tuple, teacher: Any, batch: Any) -> tuple:
        student, moments = state
        value, gradient = jax.value_and_grad(loss)(student, teacher, batch)
        updates, moments = optimizer.update(gradient, moments, student)
        return (jax.tree.map(jnp.add, student, updates), moments), value

    guidance = jax.jit(lambda teacher, batch: task.guidance({"params": teacher}, batch))
    student = variables["params"]
    visible = np.asarray(guidance(teacher, batch).visible)
    rival = torch_step(task, {"params": student | teacher}, np.asarray(batch["input"]), visible)
    first = float(jax.jit(loss)(student, teacher, batch))
    if rival and abs(rival() - first) > (1e-3 if task.config.dtype == "float32" else 0.05):
        raise SystemExit("PyTorch's loss differs from ours")
    state = [jax.tree.map(jnp.copy, (student, optimizer.init(student)))]
    program = compiled(step, state[0], teacher, batch, donate_argnums=0)

    def our_step() -> jax.Array:
        state[0], value = program(state[0], teacher, batch)
        return value

    ways: dict[str, Callable[[], Any]] = {
        "step": our_step,
        "its teacher alone": lambda: guidance(teacher, batch),
    }
    if rival:
        ways[RIVAL] = rival
    taken = alternately(list(ways.values()), arguments.rounds)
    return dict(zip(ways, taken, strict=True)), program


def torch_step(
    task: Stage1Task, variables: Any, video: np.ndarray, visible: np.ndarray
) -> Callable[[], float] | None:
    """The same step in PyTorch, where that is installed."""
    try:
        from umt_torch import Stage1
    except ImportError:
        return None
    network = Stage1(task.teacher, task.model, variables)
    return partial(network.step, *network.inputs(video, visible))


def pairs(arguments: argparse.Namespace) -> Table:
    """Pairs a second with the keys and values of a video projected once, and for each pair."""
    model, _ = variants.build(f"language_{arguments.size}_retrieval_f{arguments.frames}")
    width = model.language.layer.width
    grid = model.vision.grid

    def init(rng: jax.Array) -> Any:
        video = jnp.zeros((1, grid.frames, *grid.image_size, 3))
        words = jnp.zeros((1, LENGTH), jnp.int32)
        return model.init(rng, video, words, words == 0)

    variables = random_variables(init)
    # What the fusion layers read alone.
    params = variables["params"]
    variables = {"params": {name: params[name] for name in ("text", "matching", "temperature")}}
    rng = np.random.default_rng(1)
    v, p = arguments.videos, arguments.texts
    tokens = jnp.asarray(
        rng.standard_normal((v, grid.tokens, model.vision.block.width), np.float32)
    )
    states = jnp.asarray(rng.standard_normal((v, p, LENGTH, width), np.float32))
    mask = jnp.ones((v, p, LENGTH), bool)
    score = jax.jit(nn.apply(matching_scores, model))

    def by_video() -> jax.Array:
        return score(variables, tokens, states, mask)

    def by_pair() -> jax.Array:
        """As many pairs at a time as there are videos."""
        rows = [
            score(variables, tokens, states[:, n : n + 1], mask[:, n : n + 1]) for n in range(p)
        ]
        return jnp.concatenate(rows, axis=1)

    np.testing.assert_allclose(by_video(), by_pair(), rtol=1e-3, atol=1e-4)
    once, anew = (
        [v * p / s for s in taken] for taken in alternately([by_video, by_pair], arguments.rounds)
    )
    ratio = statistics.median(a / b for a, b in zip(once, anew, strict=True))
    title = f"{v} videos of {grid.frames} frames, {p} texts of {LENGTH} words each"
    table = Table("re-ranking", "pairs a second", "of pair by pair", title=title)
    table.add_row("keys and values once a video", f"{statistics.median(once):.2f}", f"{ratio:.2f}")
    table.add_row("for each pair, as published", f"{statistics.median(anew):.2f}", "1")
    return table


if __name__ == "__main__":
    main()
