"""Options that several verbs share."""

import argparse
from pathlib import Path
from typing import Any

from jaxvision.errors import InputError

CONFIG_HELP = "recipe: configs/<method>/<recipe>.py, or its name, e.g. videomae/demo"


def add_config(parser: argparse.ArgumentParser, required: bool = True) -> None:
    parser.add_argument("--config", required=required, metavar="RECIPE", help=CONFIG_HELP)
    parser.add_argument(
        "--config.KEY=VALUE",
        dest="_override",
        action="append",
        help="change one setting, e.g. --config.optim.clip_norm=1.0",
    )


def add_workdir(parser: argparse.ArgumentParser, required: bool = True) -> None:
    parser.add_argument(
        "--workdir",
        required=required,
        type=Path,
        metavar="DIR",
        help="checkpoints, logs, pictures and the run's record live here",
    )


def start_distributed() -> None:
    """Join the other processes of a launch, where the environment describes one.

    JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID name it; on TPU pods, SLURM and
    Open MPI JAX finds them itself when JAXVISION_DISTRIBUTED=1.
    """
    import os

    import jax

    address = os.environ.get("JAX_COORDINATOR_ADDRESS")
    if address is None and not os.environ.get("JAXVISION_DISTRIBUTED"):
        return
    known: dict[str, Any] = {}
    if address is not None:
        try:
            known = {
                "coordinator_address": address,
                "num_processes": int(os.environ["JAX_NUM_PROCESSES"]),
                "process_id": int(os.environ["JAX_PROCESS_ID"]),
            }
        except (KeyError, ValueError) as error:
            raise InputError(
                "JAX_COORDINATOR_ADDRESS is set: JAX_NUM_PROCESSES and JAX_PROCESS_ID must be "
                f"numbers too ({error})"
            ) from error
    # A lost peer is noticed in half a minute, not in JAX's hundred seconds.
    jax.distributed.initialize(heartbeat_timeout_seconds=30, **known)
