"""What a compiled program says that it needs, beside what the device has held at most so far."""

from collections.abc import Callable
from typing import Any

import jax

NONE = "not measured"


def compiled(function: Callable, *arguments: Any, **options: Any) -> Any:
    """`function` for these arguments, to be called with such; options: of jit."""
    return jax.jit(function, **options).lower(*arguments).compile()


def memory(program: Any) -> str:
    """Of this process's first device, once the program has run."""
    found = program.memory_analysis()
    parts = found.argument_size_in_bytes, found.temp_size_in_bytes, found.output_size_in_bytes
    said = sum(parts) - found.alias_size_in_bytes
    stats = jax.local_devices()[0].memory_stats()
    held = f"{stats['peak_bytes_in_use'] / 2**30:.2f} GiB held" if stats else NONE
    return f"{held}, {said / 2**30:.2f} by the compiled program"
