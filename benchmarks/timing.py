"""How calls are timed: shared by the benchmarks."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax


def seconds(function: Callable, *arguments: Any, repeats: int) -> list[float]:
    """Of every call but a first one, which compiles. Take the median or the least."""
    jax.block_until_ready(function(*arguments))
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        taken.append(time.perf_counter() - start)
    return taken


def alternately(calls: Sequence[Callable[[], Any]], repeats: int) -> list[list[float]]:
    """Seconds of each call, taken in turn so that other programs disturb all alike; a first round
    is not counted."""
    taken: list[list[float]] = [[] for _ in calls]
    for round_ in range(repeats + 1):
        for call, found in zip(calls, taken, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(call())
            if round_:
                found.append(time.perf_counter() - start)
    return taken
