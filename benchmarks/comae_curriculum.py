"""CoMAE's demo over several seeds: the curriculum beside fresh weights, with equal fine-tuning.

    python benchmarks/comae_curriculum.py [--seeds 3] [--workdir runs/rooms] [--set KEY=VALUE ...]

For each seed: contrast, autoencoder and classification, each from the one before; the last stage
from fresh weights; and from fresh weights with one rate for all layers, since rates that fall
towards the embedding suit pretrained weights. Accuracies are of held-out rooms that wear held-out
photographs.
A run that was ended carries on where it was.
"""

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from jaxvision.loading import read_weights
from jaxvision.methods.comae.task import make_task
from jaxvision.training.config import load_config
from jaxvision.training.loop import train

PROTOCOLS = ("both", "rgb", "depth")


def run(workdir: Path, arguments: str, overrides: Sequence[str]) -> dict[str, float]:
    """The results of the demo's recipe with recipe `arguments`."""
    config = load_config(f"comae/demo:{arguments}", overrides)
    return train(make_task(config), config, workdir, read_weights)


def curriculum(workdir: Path, overrides: Sequence[str]) -> dict[str, float]:
    """All three stages."""
    run(workdir / "contrast", "stage=contrast", overrides)
    start = f"start={workdir / 'contrast'}"
    run(workdir / "autoencoder", f"stage=autoencoder,{start}", overrides)
    return run(workdir / "curriculum", f"start={workdir / 'autoencoder'}", overrides)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workdir", type=Path, default=Path("runs/rooms"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()

    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    started = time.process_time()
    for seed in range(arguments.seeds):
        folder, overrides = arguments.workdir / f"seed{seed}", (*arguments.set, f"seed={seed}")
        found["curriculum"].append(curriculum(folder, overrides))
        found["fresh weights"].append(run(folder / "fresh", "", overrides))
        equal = (*overrides, "task.layer_decay=1.0")
        found["fresh weights, one rate"].append(run(folder / "fresh_one_rate", "", equal))

    table = Table("top-1 of held-out rooms", *(f"{name}, %" for name in PROTOCOLS))
    for way, results in found.items():
        row = []
        for name in PROTOCOLS:
            values = [100 * one[f"{name}/top1"] for one in results]
            spread = f" ({min(values):.1f} to {max(values):.1f})" if len(values) > 1 else ""
            row.append(f"{statistics.mean(values):.1f}{spread}")
        table.add_row(way, *row)
    console = Console(width=110)
    console.print(
        f"{arguments.seeds} seeds, {time.process_time() - started:.0f} s of processor time"
    )
    console.print(table)


if __name__ == "__main__":
    main()
