"""What the engine adds to the jitted step it runs.

    python benchmarks/engine_overhead.py [--pairs 20] [--size {0,1,2}] [--only-loop] [--shared]

Prints, from one run: the loop (loading, placing, logging) over the bare compiled step (same step,
same batches already on the device), for several sizes of step or one; the stall of one save; the
cost of checksums; start-up by phase; and the cost of dispatching a step against the number of
leaves in its state. Ratios are what counts: absolute times belong to the machine.

Loop and bare step take turns within one training, 50 steps each. A pair is a turn of the loop and
the mean of the bare turns before and after it, and the median of the pairs counts: what else the
machine does hits both. Reading runs a few batches ahead of either turn.

An accelerator is not its host. So that a CPU can stand for one, the step's threads get the first
core and the host's work (loader, loop, log) the others; with `--shared` they compete for all.
"""

import argparse
import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from jaxvision.data.source import Source
from jaxvision.methods.videomae.task import PretrainingTask
from jaxvision.training import loop, manifest
from jaxvision.training.config import load_config
from jaxvision.training.run import prepare_run
from jaxvision.training.sharding import place

# (frames' side, width, depth): steps from a few to some tens of milliseconds on two cores.
SIZES = ((16, 64, 2), (32, 96, 3), (48, 128, 4))
TURN = 50  # steps


@dataclass(frozen=True)
class SameClip:
    """One clip, again and again: reading costs nothing."""

    clip: np.ndarray

    def __len__(self) -> int:
        return 4096

    def __getitem__(self, index: int) -> dict:
        return {"video": self.clip}

    def name(self, index: int) -> str:
        return f"clip {index}"


class CheapData(PretrainingTask):
    """The demo's task on records that cost nothing to read."""

    def source(self, split: str) -> Source:
        model = self.config.model
        clip = np.zeros((model.frames, *model.image_size, 3), np.uint8)
        return Source(SameClip(clip), self.config.train.batch_size)


def recipe(size: tuple[int, int, int], steps: int, save_every: int = 10**6) -> ConfigDict:
    side, width, depth = size
    words = {
        "model.image_size": (side, side),
        "model.patch": 8,
        "model.tubelet": 2,
        "model.remat": "none",
        "model.width": width,
        "model.depth": depth,
        "train.steps": steps,
        "train.batch_size": 8,
        "task.encoder_mask_ratio": 0.75,
        "task.decoder_mask_ratio": 0.5,
        "task.probe": False,
        "log.every_steps": TURN,
        "log.pictures_every_steps": 0,
        "evaluate.every_steps": 0,
        "checkpoint.every_steps": save_every,
    }
    return load_config("videomae/demo", [f"{key}={value}" for key, value in words.items()])


class BareStep:
    """The compiled step on a batch that is on the device, nothing between."""

    def __init__(self, config: ConfigDict):
        run = prepare_run(CheapData(config), config)
        (self._step,) = run.compile().values()
        started = time.perf_counter()
        self._state, _ = run.initial_state(lambda source: {})
        run.seconds["initialise"] = time.perf_counter() - started
        self.phases = run.seconds  # of start-up
        self._batch = place(run.data[0].arrays, run.mesh, config.train.batch_size)

    def seconds(self, steps: int) -> float:
        """A step's."""
        started = time.perf_counter()
        for _ in range(steps):
            self._state, metrics = self._step(self._state, self._batch)
        jax.block_until_ready((self._state, metrics))
        return (time.perf_counter() - started) / steps


def taking_turns(after_log: Callable[[int], None]) -> type[loop.Loop]:
    """The loop, which lets another go on after each of its logs; both wait for the device then."""

    class Turns(loop.Loop):
        def log(self, done: int) -> None:
            super().log(done)
            after_log(done)

    return Turns


def pairs_of_seconds(config: ConfigDict) -> tuple[list[tuple[float, float]], dict[str, float]]:
    """Seconds a step of the bare step, in the turns before and after, and of the loop, turn by
    turn; the start-up by phase."""
    bare = BareStep(config)
    pairs: list[tuple[float, float]] = []
    began = before = 0.0

    def turn(done: int) -> None:
        nonlocal began, before
        took = (time.perf_counter() - began) / TURN
        after = bare.seconds(TURN)
        if done > TURN:  # the first turn warms up
            pairs.append(((before + after) / 2, took))
        before, began = after, time.perf_counter()

    with tempfile.TemporaryDirectory() as workdir, patch.object(loop, "Loop", taking_turns(turn)):
        loop.train(CheapData(config), config, Path(workdir), lambda source: {})
    return pairs, bare.phases


def loop_seconds_per_step(config: ConfigDict) -> float:
    """A whole `train`, from its log after the warm-up to its last."""
    with tempfile.TemporaryDirectory() as workdir:
        loop.train(CheapData(config), config, Path(workdir), lambda source: {})
        rows = [json.loads(line) for line in (Path(workdir) / "metrics.jsonl").open()]
    times = {row["step"]: row["time"] for row in rows}
    return (times[config.train.steps] - times[TURN]) / (config.train.steps - TURN)


def dispatch_seconds(leaves: int, calls: int = 300) -> float:
    """One call of a jitted function that adds one to each of `leaves` small donated arrays."""
    add = jax.jit(lambda tree: [x + 1 for x in tree], donate_argnums=0)
    tree = [jnp.zeros(8) for _ in range(leaves)]
    tree = jax.block_until_ready(add(tree))
    started = time.perf_counter()
    for _ in range(calls):
        tree = add(tree)
    jax.block_until_ready(tree)
    return (time.perf_counter() - started) / calls


def checksum_seconds_per_gb(megabytes: int = 256) -> float:
    """Reading a checkpoint's files back from the disk, as after every save, and checking them
    against its manifest, as every restore does."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data").write_bytes(np.random.default_rng(0).bytes(megabytes * 10**6))
        manifest.write(folder, folder, {})
        marker = f"Checkpoint commit was successful to {folder}"
        (folder / manifest.COMMIT_MARKER).write_text(marker)
        started = time.perf_counter()
        manifest.forget(folder)
        damaged = manifest.damage(folder, {})
        seconds = time.perf_counter() - started
        if damaged:
            raise SystemExit(damaged)
        return seconds * 1000 / megabytes


def keep_apart(cores: list[int]) -> None:
    """Threads stay where the thread that starts them may run: XLA's are started on the first core,
    all that come later on the others."""
    os.sched_setaffinity(0, cores[:1])
    jax.block_until_ready(jnp.ones((64, 64)) @ jnp.ones((64, 64)))
    os.sched_setaffinity(0, cores[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=20, help="turns of 50 steps of each")
    parser.add_argument("--size", type=int, choices=range(len(SIZES)), help="of a step; all")
    parser.add_argument("--only-loop", action="store_true", help="the first table alone")
    parser.add_argument("--shared", action="store_true", help="one pool of cores for both")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    apart = len(cores) > 1 and not arguments.shared
    if apart:
        keep_apart(cores)
    logging.getLogger("absl").setLevel(logging.ERROR)

    overhead = Table(
        "step", "bare ms", "loop ms", "loop / bare", "half of the pairs", title="the loop"
    )
    for size in SIZES if arguments.size is None else [SIZES[arguments.size]]:
        pairs, phases = pairs_of_seconds(recipe(size, (arguments.pairs + 1) * TURN))
        bare, took = (statistics.median(column) for column in zip(*pairs, strict=True))
        low, middle, high = statistics.quantiles([b / a for a, b in pairs], n=4)
        overhead.add_row(
            str(size),
            f"{bare * 1e3:.2f}",
            f"{took * 1e3:.2f}",
            f"{middle:.3f}",
            f"{low:.3f} to {high:.3f}",
        )
    console = Console()
    console.print("the step on a core of its own" if apart else "step and host on the same cores")
    console.print(overhead)
    if not arguments.only_loop:
        other_costs(console, phases)


def other_costs(console: Console, phases: dict[str, float]) -> None:
    steps, every = 5 * TURN, TURN
    saves = steps // every - 1
    stalls = []
    for _ in range(2):
        plain = loop_seconds_per_step(recipe(SIZES[1], steps))
        saving = loop_seconds_per_step(recipe(SIZES[1], steps, save_every=every))
        stalls.append((saving - plain) * (steps - TURN) / saves)
    dispatch = Table("leaves", "microseconds a call", title="dispatch")
    for leaves in (10, 100, 1000):
        dispatch.add_row(str(leaves), f"{dispatch_seconds(leaves) * 1e6:.0f}")
    console.print(f"stall of one save: {statistics.median(stalls) * 1e3:.1f} ms")
    console.print(f"checksums: {checksum_seconds_per_gb():.2f} s per GB")
    shown = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in phases.items())
    console.print(f"start-up: {shown}")
    console.print(dispatch)


if __name__ == "__main__":
    main()
