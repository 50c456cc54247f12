"""Options that several verbs share."""

import argparse
from pathlib import Path

CONFIG_HELP = (
    "recipe: configs/<method>/<recipe>.py, or its name, e.g. videomae/demo; NAME:ARGUMENT=VALUE "
    "where it takes arguments"
)


def add_config(parser: argparse.ArgumentParser, required: bool = True) -> None:
    parser.add_argument("--config", required=required, metavar="RECIPE", help=CONFIG_HELP)
    parser.add_argument(
        "--config.KEY=VALUE",
        dest="_override",
        metavar="",
        action="append",
        help="change one setting, e.g. --config.optim.clip_norm=1.0",
    )


def add_workdir(parser: argparse.ArgumentParser, required: bool = True) -> None:
    parser.add_argument(
        "--workdir",
        required=required,
        type=mounted_folder,
        metavar="DIR",
        help="checkpoints, logs, pictures and the run's record live here",
    )


def add_trained_model(parser: argparse.ArgumentParser) -> None:
    """Of a verb that answers with a trained model: which one."""
    add_config(parser, required=False)
    add_workdir(parser, required=False)
    parser.add_argument(
        "--weights",
        help="instead of a workdir: converted weights, an official file, also in object storage "
        "(gs://, s3://), or the name of one that was published (`jaxvision list METHOD`)",
    )
    parser.add_argument("--step", type=int, help="a checkpoint's step (default: the newest)")


def add_shard(parser: argparse.ArgumentParser) -> None:
    """Of a verb whose work several machines may share."""
    share = parser.add_mutually_exclusive_group()
    share.add_argument(
        "--shard",
        metavar="I/N",
        help="do the I-th of N parts alone, on each machine another one; auto: as a SLURM array or "
        "a Kubernetes indexed job says (docs/launching.md)",
    )
    share.add_argument(
        "--merge",
        action="store_true",
        help="of all N parts, once each has been done: the same command with this for --shard",
    )


def mounted_folder(text: str) -> Path:
    """A folder; an address of object storage is refused, or a local folder would get its name."""
    if "://" in text:
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected a folder; mount object storage first (docs/launching.md)"
        )
    return Path(text)
