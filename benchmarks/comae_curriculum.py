"""CoMAE's demo over several seeds: the curriculum beside fresh weights, with equal fine-tuning.

    python benchmarks/comae_curriculum.py [--seeds 3] [--workdir runs/rooms] [--set KEY=VALUE ...]
    python benchmarks/comae_curriculum.py --probe   # frozen features alone, nothing fine-tuned

For each seed: contrast, autoencoder and classification, each from the one before; the last stage
from fresh weights; and from fresh weights with one rate for all layers, since rates that fall
towards the embedding suit pretrained weights. And what a linear classifier makes of frozen
features, after two stages and of the untrained network, by how many labelled rooms it sees.
Accuracies are of held-out rooms that wear held-out photographs.
A run that was ended carries on where it was.
"""

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from jaxvision.data.rgbd_transforms import EvaluationPair
from jaxvision.data.source import stack
from jaxvision.loading import read_weights
from jaxvision.methods.comae.inputs import records_of
from jaxvision.methods.comae.task import make_task
from jaxvision.tasks import linear_probe
from jaxvision.training import initialisation
from jaxvision.training.config import load_config
from jaxvision.training.loop import train
from jaxvision.training.state import unboxed_init

PROTOCOLS = {"both": (True, True), "rgb": (True, False), "depth": (False, True)}
PROBED = (24, 48, 96, 240, 480)  # labelled rooms
ROWS = 48  # of a batch whose features are taken


def run(workdir: Path, arguments: str, overrides: Sequence[str]) -> dict[str, float]:
    """The results of the demo's recipe with recipe `arguments`."""
    config = load_config(f"comae/demo:{arguments}", overrides)
    return train(make_task(config), config, workdir, read_weights)


def pretrain(workdir: Path, overrides: Sequence[str]) -> str:
    """The first two stages; the recipe argument that starts from them."""
    run(workdir / "contrast", "stage=contrast", overrides)
    start = f"start={workdir / 'contrast'}"
    run(workdir / "autoencoder", f"stage=autoencoder,{start}", overrides)
    return f"start={workdir / 'autoencoder'}"


def probe(arguments: str, overrides: Sequence[str]) -> dict[str, list[float]]:
    """{protocol: accuracies of a linear classifier at each of PROBED} on the frozen features that
    the last stage would start from, of whole pictures."""
    config = load_config(f"comae/demo:{arguments}", (*overrides, f"data.train={max(PROBED)}"))
    task = make_task(config)
    variables = jax.tree.map(
        np.asarray, jax.jit(partial(unboxed_init, task))(jax.random.key(config.seed))
    )
    variables, _ = initialisation.apply(variables, config.init, read_weights, task.adapt)

    @jax.jit
    def features(batch, seen):
        batch = task.prepare(batch, jax.random.key(0), False)
        inputs = batch["rgb_input"], batch["depth_input"]
        return task.model.apply(variables, *inputs, seen, features=True)

    found: dict[str, list[float]] = {}
    rooms = {split: batches_of(config, split) for split in ("train", "validation")}
    for name, shown in PROTOCOLS.items():
        seen = np.tile(np.array(shown), (ROWS, 1))
        sides = [
            np.concatenate([features(batch, seen) for batch in rooms[split]]) for split in rooms
        ]
        labels, truth = (
            np.concatenate([batch["label"] for batch in rooms[split]]) for split in rooms
        )
        found[name] = [
            float(np.mean(linear_probe.fitted(sides[0][:n], labels[:n]).predict(sides[1]) == truth))
            for n in PROBED
        ]
    return found


def batches_of(config: ConfigDict, split: str) -> list[dict[str, np.ndarray]]:
    """The whole pictures of a split, in their order; what does not fill a batch is left out."""
    records, cut = records_of(config, split), EvaluationPair(config.model.image_size)
    samples = [cut(records[n], np.random.default_rng(0), "") for n in range(len(records))]
    return [
        stack(samples[first : first + ROWS], "")
        for first in range(0, len(samples) - ROWS + 1, ROWS)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workdir", type=Path, default=Path("runs/rooms"))
    parser.add_argument("--probe", action="store_true", help="frozen features alone")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()

    tuned: dict[str, list[dict[str, float]]] = defaultdict(list)
    probed: dict[str, list[dict[str, list[float]]]] = defaultdict(list)
    started = time.process_time()
    for seed in range(arguments.seeds):
        folder, overrides = arguments.workdir / f"seed{seed}", (*arguments.set, f"seed={seed}")
        start = pretrain(folder, overrides)
        probed["two stages"].append(probe(start, overrides))
        probed["untrained"].append(probe("", overrides))
        if arguments.probe:
            continue
        tuned["curriculum"].append(run(folder / "curriculum", start, overrides))
        tuned["fresh weights"].append(run(folder / "fresh", "", overrides))
        equal = (*overrides, "task.layer_decay=1.0")
        tuned["fresh weights, one rate"].append(run(folder / "fresh_one_rate", "", equal))

    console = Console(width=110)
    console.print(
        f"{arguments.seeds} seeds, {time.process_time() - started:.0f} s of processor time"
    )
    frozen = Table("frozen features: labels", *map(str, PROBED), title="top-1 of held-out rooms, %")
    for way, seeds in probed.items():
        for name in PROTOCOLS:
            columns = zip(*(one[name] for one in seeds), strict=True)
            frozen.add_row(f"{way}, {name}", *map(spread, columns))
    console.print(frozen)
    if tuned:
        table = Table("fine-tuned", *PROTOCOLS, title="top-1 of held-out rooms, %")
        for way, results in tuned.items():
            columns = ([one[f"{name}/top1"] for one in results] for name in PROTOCOLS)
            table.add_row(way, *map(spread, columns))
        console.print(table)


def spread(values: Sequence[float]) -> str:
    """Shares as "mean (least to most)" in per cent."""
    mean, least, most = (100 * f(values) for f in (statistics.mean, min, max))
    return f"{mean:.1f}" + (f" ({least:.1f} to {most:.1f})" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
