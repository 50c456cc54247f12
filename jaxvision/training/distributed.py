"""Joining the other processes of a run."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from jaxvision.errors import InputError
from jaxvision.training.config import as_json, leaves
from jaxvision.training.environments import detect, tpu_metadata
from jaxvision.training.rendezvous import check_peers, split_address
from jaxvision.training.run_record import commit, versions

START_SECONDS = 300.0  # for all processes to come
# A lost peer is noticed in half a minute, not in JAX's hundred seconds.
HEARTBEAT_SECONDS = 30.0
NO_PROXY = "no_grpc_proxy"


def start_distributed(
    started_with: Mapping[str, Any], before_joining: Callable[[], None] = lambda: None
) -> None:
    """Join the other processes, where the environment describes some; before JAX is used.

    started_with: what all must have been started with alike, as plain JSON values by name; versions
    are compared besides. JAXVISION_START_SECONDS and JAXVISION_HEARTBEAT_SECONDS change how long to
    wait for all to come, and until a silent one counts as lost.

    before_joining: called where there are others.

    InputError, in every process, where one is missing or they do not agree.
    """
    layout = detect(os.environ, tpu_metadata())
    if layout is None:
        return
    before_joining()
    wait = _seconds("JAXVISION_START_SECONDS", START_SECONDS)
    heartbeat = _seconds("JAXVISION_HEARTBEAT_SECONDS", HEARTBEAT_SECONDS)
    host, port = split_address(layout.address)
    bind = os.environ.get("JAX_COORDINATOR_BIND_ADDRESS", f"[::]:{port}")
    check_peers(
        {**started_with, "commit": commit(), **versions()},
        address=layout.address,
        bind=bind,
        number=layout.number,
        count=layout.count,
        seconds=wait,
    )

    import jax

    if any(name.lower().endswith("_proxy") for name in os.environ):
        # gRPC would ask the proxy for machines of the same run; JAX warns of that at length.
        spared = (os.environ.get(NO_PROXY), host)
        os.environ[NO_PROXY] = ",".join(name for name in spared if name)
        jax.config.update("jax_check_proxy_envs", False)
    jax.distributed.initialize(
        coordinator_address=layout.address,
        num_processes=layout.count,
        process_id=layout.number,
        local_device_ids=layout.devices,
        cluster_detection_method="deactivate",
        initialization_timeout=int(wait),
        heartbeat_timeout_seconds=int(heartbeat),
    )


def settings(config: ConfigDict) -> dict[str, Any]:
    """{"config.a.b": value} of every setting, to start with."""
    return {f"config.{key}": value for key, value in leaves(as_json(config))}


def _seconds(name: str, default: float) -> float:
    text = os.environ.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if value < 1:
        raise InputError(f"{name}={text!r}: expected a number of seconds, at least 1")
    return value
