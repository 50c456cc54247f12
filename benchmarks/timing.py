"""How calls are timed: shared by the benchmarks."""

import time
from collections.abc import Callable
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
