"""What the engine adds to the jitted step it runs.

    python benchmarks/engine_overhead.py [--steps 300] [--rounds 3] [--shared]

Prints, from one run: the loop over the bare compiled step (same step, same batches already on the
device), for several sizes of step; the stall of one save; the cost of checksums; start-up by phase;
and the cost of dispatching a step against the number of leaves in its state. Ratios are what
counts: absolute times belong to the machine.

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
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from jaxvision.data.source import Source
from jaxvision.methods.videomae.task import PretrainingTask
from jaxvision.training import manifest
from jaxvision.training.config import load_config
from jaxvision.training.loop import train
from jaxvision.training.run import prepare_run
from jaxvision.training.sharding import place

# (frames' side, width, depth): steps from a few to some tens of milliseconds on two cores.
SIZES = ((16, 64, 2), (32, 96, 3), (48, 128, 4))
WARM_UP = 50


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
        "log.every_steps": WARM_UP,
        "log.pictures_every_steps": 0,
        "evaluate.every_steps": 0,
        "checkpoint.every_steps": save_every,
    }
    return load_config("videomae/demo", [f"{key}={value}" for key, value in words.items()])


def bare_seconds_per_step(config: ConfigDict) -> tuple[float, dict[str, float]]:
    """The compiled step on batches that are on the device, nothing between; start-up by phase."""
    run = prepare_run(CheapData(config), config)
    (step,) = run.compile().values()
    started = time.perf_counter()
    state, _ = run.initial_state(lambda source: {})
    run.seconds["initialise"] = time.perf_counter() - started
    batch = place(run.data[0].arrays, run.mesh, config.train.batch_size)
    for _ in range(WARM_UP):
        state, metrics = step(state, batch)
    jax.block_until_ready(metrics)
    started = time.perf_counter()
    for _ in range(config.train.steps - WARM_UP):
        state, metrics = step(state, batch)
    jax.block_until_ready(metrics)
    return (time.perf_counter() - started) / (config.train.steps - WARM_UP), run.seconds


def loop_seconds_per_step(config: ConfigDict) -> float:
    """A whole `train`, from its log after the warm-up to its last."""
    with tempfile.TemporaryDirectory() as workdir:
        train(CheapData(config), config, Path(workdir), lambda source: {})
        rows = [json.loads(line) for line in (Path(workdir) / "metrics.jsonl").open()]
    times = {row["step"]: row["time"] for row in rows}
    return (times[config.train.steps] - times[WARM_UP]) / (config.train.steps - WARM_UP)


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
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shared", action="store_true", help="one pool of cores for both")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    apart = len(cores) > 1 and not arguments.shared
    if apart:
        keep_apart(cores)
    logging.getLogger("absl").setLevel(logging.ERROR)

    overhead = Table("step", "bare ms", "loop ms", "loop / bare", title="the loop")
    phases: dict[str, float] = {}
    for size in SIZES:
        config = recipe(size, arguments.steps)
        pairs = []
        for _ in range(arguments.rounds):  # side by side, so that both see the same machine
            bare, phases = bare_seconds_per_step(config)
            pairs.append((bare, loop_seconds_per_step(config)))
        bare, loop = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(b / a for a, b in pairs)
        overhead.add_row(str(size), f"{bare * 1e3:.2f}", f"{loop * 1e3:.2f}", f"{ratio:.3f}")

    saving = recipe(SIZES[1], arguments.steps, save_every=WARM_UP)
    saves = (arguments.steps - WARM_UP) // WARM_UP
    stalls = []
    for _ in range(arguments.rounds):
        plain = loop_seconds_per_step(recipe(SIZES[1], arguments.steps))
        steps = arguments.steps - WARM_UP
        stalls.append((loop_seconds_per_step(saving) - plain) * steps / saves)

    dispatch = Table("leaves", "microseconds a call", title="dispatch")
    for leaves in (10, 100, 1000):
        dispatch.add_row(str(leaves), f"{dispatch_seconds(leaves) * 1e6:.0f}")

    console = Console()
    console.print("the step on a core of its own" if apart else "step and host on the same cores")
    console.print(overhead)
    console.print(f"stall of one save: {statistics.median(stalls) * 1e3:.1f} ms")
    console.print(f"checksums: {checksum_seconds_per_gb():.2f} s per GB")
    shown = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in phases.items())
    console.print(f"start-up: {shown}")
    console.print(dispatch)


if __name__ == "__main__":
    main()
