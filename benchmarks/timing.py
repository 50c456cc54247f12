"""How calls are timed: shared by the benchmarks."""

import resource
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


def work_seconds(function: Callable, *arguments: Any, repeats: int) -> float:
    """Least processor time of a compiled call, all threads together, without the system's: that is
    mostly for memory which is fresh in every call once arrays are large."""
    jax.block_until_ready(function(*arguments))
    taken = []
    for _ in range(repeats):
        start = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        jax.block_until_ready(function(*arguments))
        taken.append(resource.getrusage(resource.RUSAGE_SELF).ru_utime - start)
    return min(taken)


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
