"""What names in a pickle of plain Python and NumPy data mean: values, made by functions of ours.

Arrays of objects are stand-ins (`Opaque`): what a file says of them, never such an array, since
NumPy takes the numbers of a pickle for addresses of objects.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxvision.weights.pickle_machine import (
    DamagedError,
    Known,
    Opaque,
    RefusedError,
    Unfinished,
    checked_keys,
    mapping,
)

MAX_RANK = 32
OBJECT_ARRAY = "numpy.ndarray"
_DTYPE = re.compile(r"[<>=|]?(?:[?biufcSUO]\d{0,6}|b1)")
_OBJECTS = np.dtype(object)


def checked_shape(shape: Any) -> tuple[int, ...]:
    """A shape from a file: at most 32 whole numbers, none negative."""
    if not isinstance(shape, tuple | list) or len(shape) > MAX_RANK:
        raise DamagedError("a shape that is none")
    if not all(isinstance(n, int) and 0 <= n < 2**48 for n in shape):
        raise DamagedError("a shape of something else than sizes")
    return tuple(shape)


def array_of(data: Any, dtype: np.dtype, shape: Any, column_major: bool = False) -> np.ndarray:
    """A read-only array over bytes, which must be exactly what its shape needs."""
    shape = checked_shape(shape)
    if dtype.hasobject or not dtype.itemsize:
        raise RefusedError(f"values of type {dtype}")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise DamagedError(f"{len(data)} bytes for an array of shape {shape} of {dtype}")
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if column_major else "C")
    array.flags.writeable = False
    return array


def _dtype(code: Any, *_: Any) -> Unfinished:
    if not isinstance(code, str) or not _DTYPE.fullmatch(code):
        raise RefusedError("a numpy dtype that is no number or text")
    dtype = np.dtype(code)

    def finish(state: tuple) -> np.dtype:
        return dtype.newbyteorder(state[1]) if state[1] in ("<", ">") else dtype

    return Unfinished(finish)


def _settled(dtype: Any) -> np.dtype:
    """A dtype of the file, whose state may not have come."""
    found = dtype.finish((3, "=")) if isinstance(dtype, Unfinished) else dtype
    if not isinstance(found, np.dtype):
        raise DamagedError("an array without a dtype")
    return found


def _scalar(dtype: Any, data: Any) -> Any:
    return array_of(_latin1(data), _settled(dtype), ())[()]


def _array(*_: Any) -> Unfinished:
    def finish(state: tuple) -> Any:
        _, shape, dtype, column_major, data = state
        dtype = _settled(dtype)
        if dtype == _OBJECTS:
            if not isinstance(data, list) or math.prod(checked_shape(shape)) != len(data):
                raise DamagedError("an array of objects without its objects")
            return Opaque(OBJECT_ARRAY, (shape,), data)
        return array_of(_latin1(data), dtype, shape, column_major is True or column_major == 1)

    return Unfinished(finish)


def _array_of_buffer(data: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    return array_of(_latin1(data), _settled(dtype), shape, order == "F")


def _latin1(data: Any) -> bytes | bytearray:
    """The bytes of an array, which Python 2 wrote as text."""
    if isinstance(data, str):
        return data.encode("latin1")
    if not isinstance(data, bytes | bytearray):
        raise DamagedError("an array without bytes")
    return data


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1", "utf-8", "ascii") or not isinstance(text, str):
        raise RefusedError("_codecs.encode of something else than text to bytes")
    return text.encode(encoding)


def _bytearray(data: Any = b"", encoding: Any = "latin1") -> bytearray:
    """Of text or bytes; `bytearray(2**32)` would be four GiB of zeros."""
    return bytearray(_encode(data, encoding) if isinstance(data, str) else _latin1(data))


def _set(items: Any = ()) -> set:
    return set(checked_keys(items))


def _frozenset(items: Any = ()) -> frozenset:
    return frozenset(checked_keys(items))


def _complex(real: Any, imaginary: Any = 0.0) -> complex:
    if not isinstance(real, int | float) or not isinstance(imaginary, int | float):
        raise DamagedError("a complex number of something else than numbers")
    return complex(real, imaginary)


def _slice(*bounds: Any) -> Opaque:
    return Opaque("builtins.slice", bounds)


def _ordered_dict(items: Any = ()) -> dict:
    return mapping(items.items() if isinstance(items, dict) else items)


def _default_dict(factory: Any = None, items: Any = ()) -> dict:
    return _ordered_dict(items)


def _reconstructed(*_: Any) -> Any:
    raise DamagedError("an object of no class")  # the machine answers this call itself


_BUILTINS: dict[str, Callable[..., Any]] = {
    "set": _set,
    "frozenset": _frozenset,
    "slice": _slice,
    "complex": _complex,
    "bytearray": _bytearray,
}
_NUMPY: dict[str, Callable[..., Any]] = {
    "multiarray scalar": _scalar,
    "multiarray _reconstruct": _array,
    "numeric _frombuffer": _array_of_buffer,
}
_CALLS: dict[str, Callable[..., Any]] = {
    "collections OrderedDict": _ordered_dict,
    "collections defaultdict": _default_dict,
    "collections Counter": _ordered_dict,
    "_codecs encode": _encode,
    "copyreg _reconstructor": _reconstructed,
    "copy_reg _reconstructor": _reconstructed,
    "numpy dtype": _dtype,
    **{f"builtins {name}": make for name, make in _BUILTINS.items()},
    **{f"__builtin__ {name}": make for name, make in _BUILTINS.items()},
    **{f"numpy.core.{name}": make for name, make in _NUMPY.items()},
    **{f"numpy._core.{name}": make for name, make in _NUMPY.items()},
}
# Mentioned as arguments of the calls above, never called themselves.
_MENTIONS = (
    "numpy ndarray",
    *(
        f"{module} {name}"
        for module in ("builtins", "__builtin__")
        for name in ("int", "list", "dict", "object")
    ),
)

PLAIN_NAMES: dict[str, Known] = {
    **{name: Known(name, make) for name, make in _CALLS.items()},
    **{name: Known(name) for name in _MENTIONS},
}
