"""Watch a small VideoMAE V2 pretraining on real photographs under a moving camera.

Needs no download and no accelerator; takes a few minutes on two cores. Kill it at any time and run
it again: it carries on. It prints how far the loss fell, how well the hidden cubes of photographs
never trained on are filled in beside two ways that learn nothing, and how often a linear probe
names the camera's motion from the frozen features beside those of the same network untrained, and
names the pictures it drew.
"""

import argparse
import json
from pathlib import Path

SUMMARY = "a small masked video pretraining on this machine, with pictures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from jaxvision.cli.options import mounted_folder

    parser.add_argument(
        "--workdir",
        type=mounted_folder,
        default=Path("runs/demo"),
        metavar="DIR",
        help="where it keeps its state and pictures (default: runs/demo)",
    )


def run(arguments: argparse.Namespace) -> int:
    from jaxvision.training.config import load_config

    config = load_config("videomae/demo", arguments.overrides)

    from jaxvision.loading import read_weights
    from jaxvision.registry import make_task
    from jaxvision.training.loop import train

    print(f"pretraining in {arguments.workdir}; stop it with Ctrl-C, run it again to carry on")
    results = train(make_task(config), config, arguments.workdir, read_weights)
    print(summary(arguments.workdir, results))
    return 0


def summary(workdir: Path, results: dict[str, float]) -> str:
    """The measured outcome of a finished demo, from its own log."""
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    lines = [
        f"loss {losses[0]:.3f} -> {losses[-1]:.3f} ({losses[-1] / losses[0]:.2f} of its start)"
    ]
    fillings = [row for row in rows if "evaluate/filling/network" in row]
    if fillings:
        network, colour, nearest = (
            fillings[-1][f"evaluate/filling/{way}"]
            for way in ("network", "mean_colour", "nearest_cubes")
        )
        lines.append(
            f"hidden cubes of held-out photographs: {network:.1f} dB (the mean visible colour "
            f"{colour:.1f} dB, the nearest visible cubes {nearest:.1f} dB)"
        )
    probes = [row for row in rows if "evaluate/probe/accuracy" in row]
    if probes:
        accuracy, fresh, chance = (
            100 * probes[-1][f"evaluate/probe/{key}"] for key in ("accuracy", "fresh", "chance")
        )
        lines.append(
            f"linear probe on held-out photographs: {accuracy:.1f} % of camera motions named right "
            f"(the same network untrained {fresh:.1f} %, chance {chance:.1f} %)"
        )
    pictures = sorted((workdir / "pictures").glob("*.png"), key=lambda path: path.stem[-8:])
    lines += [f"picture: {path}" for path in pictures[-2:]]
    lines.append(f"curves and pictures: tensorboard --logdir {workdir / 'tensorboard'}")
    return "\n".join(lines)
