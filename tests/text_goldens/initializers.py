"""What a parameter starts as, in words: read off the initialiser its module passes to `param`."""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
from flax import linen as nn

# Not worth a word.
USUAL = [("batch_axis", ()), ("in_axis", -2), ("out_axis", -1)]


@contextlib.contextmanager
def recorded() -> Iterator[dict[str, str]]:
    """{path: initialiser} of every parameter that is made inside the block."""
    found: dict[str, str] = {}
    param = nn.Module.param

    def recording(module: nn.Module, name: str, init: Callable, *args: Any, **kwargs: Any) -> Any:
        # Of its own function, DenseGeneral's hides the one it was given.
        own = getattr(module, f"{name}_init") if isinstance(module, nn.DenseGeneral) else init
        found["/".join((*module.path, name))] = described(own)
        return param(module, name, init, *args, **kwargs)

    with mock.patch.object(nn.Module, "param", recording):
        yield found


def of(path: str, found: dict[str, str]) -> str:
    """The initialiser of `path`, which may lie deeper in a task's variables than in its module."""
    while path not in found:
        _, _, path = path.partition("/")
        if not path:
            return "not by a module"
    return found[path]


def described(init: Callable) -> str:
    """The factory's name and what it was given: variance_scaling(mode='fan_avg', scale=1)."""
    init = inspect.unwrap(init)
    name = init.__qualname__.split(".<locals>")[0].lstrip("_")
    given = inspect.getclosurevars(init).nonlocals if init.__closure__ else {}
    words = [
        f"{key}={value_of(value)}"
        for key, value in given.items()
        if not callable(value) and (key, value) not in USUAL
    ]
    inner = [described(value) for value in given.values() if inspect.isfunction(value)]
    return f"{name}({', '.join(inner + words)})" if words or inner else name


def value_of(value: Any) -> str:
    """Short text of what an initialiser was given: an array by its shape and its sum of squares."""
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, (str, int, bool, tuple, list, type(None))):
        return repr(value)
    if hasattr(value, "shape"):
        array = np.asarray(value, np.float64)
        square = float(np.sum(array * array))
        return f"{array:.5g}" if array.ndim == 0 else f"<{array.shape} of square {square:.5g}>"
    return type(value).__name__
