"""What the names inside a `torch.save` file mean: plain data, made by functions of ours."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np

from jaxvision.weights.pickle_machine import DamagedError, Known, RefusedError
from jaxvision.weights.plain_names import PLAIN_NAMES, checked_shape

# PyTorch's name of a dtype -> NumPy's.
DTYPES: dict[str, np.dtype] = {
    name: np.dtype(dtype)
    for name, dtype in {
        "float32": np.float32,
        "float64": np.float64,
        "float16": np.float16,
        "bfloat16": ml_dtypes.bfloat16,
        "int64": np.int64,
        "int32": np.int32,
        "int16": np.int16,
        "int8": np.int8,
        "uint8": np.uint8,
        "bool": np.bool_,
        "complex64": np.complex64,
        "complex128": np.complex128,
        "uint16": np.uint16,
        "uint32": np.uint32,
        "uint64": np.uint64,
        "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
        "float8_e5m2": ml_dtypes.float8_e5m2,
    }.items()
}
# PyTorch's typed storages; other dtypes are saved as untyped bytes.
STORAGES: dict[str, str] = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}


# A tensor may repeat the values of its storage (an expanded buffer), up to so many.
MAX_REPEATED = 1 << 16


def tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> np.ndarray:
    """A view of `storage` (flat, read-only): offset and strides in elements."""
    shape, strides, (offset,) = map(checked_shape, (shape, strides, (offset,)))
    if not isinstance(storage, np.ndarray) or len(shape) != len(strides):
        raise DamagedError("a tensor without a storage")
    if 0 in shape:
        return np.zeros(shape, storage.dtype)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if last >= storage.size or math.prod(shape) > max(storage.size, MAX_REPEATED):
        raise DamagedError(
            f"a tensor of shape {shape} needs {last + 1} values of a storage of {storage.size}"
        )
    size = storage.itemsize
    return np.lib.stride_tricks.as_strided(
        storage[offset:], shape, tuple(step * size for step in strides), writeable=False
    )


def _tensor_v3(
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    grad: Any,
    hooks: Any,
    dtype: Any,
    *_: Any,
) -> np.ndarray:
    # The offset and strides of an untyped storage count elements of `dtype`.
    if not isinstance(storage, np.ndarray) or not isinstance(dtype, Known) or dtype.value is None:
        raise DamagedError("a tensor without a storage")
    return tensor(storage.view(dtype.value), offset, shape, strides)


def _parameter(data: Any, *_: Any) -> np.ndarray:
    if not isinstance(data, np.ndarray):
        raise DamagedError("a parameter that is no tensor")
    return data


def _with_attributes(function: Any, cls: Any, arguments: Any, state: Any) -> Any:
    name = getattr(function, "name", type(function).__name__)
    rebuilds = isinstance(function, Known) and name.startswith("torch._utils _rebuild_")
    if not rebuilds or function.make is None:
        raise RefusedError(f"a call of {name}")
    return function.make(*arguments)


def _size(sizes: Any = ()) -> tuple[int, ...]:
    return checked_shape(sizes)


def _device(*name: Any) -> str:
    if len(name) > 2 or not all(isinstance(part, str | int) for part in name):
        raise DamagedError("a device that is none")
    return ":".join(map(str, name))


def _namespace() -> SimpleNamespace:
    return SimpleNamespace()


def _path(*parts: Any) -> str:
    if len(parts) > 64 or not all(isinstance(part, str) for part in parts):
        raise DamagedError("a path that is none")
    return "/".join(parts)


_CALLS: dict[str, Callable[..., Any]] = {
    "torch._utils _rebuild_tensor": tensor,
    "torch._utils _rebuild_tensor_v2": tensor,
    "torch._utils _rebuild_tensor_v3": _tensor_v3,
    "torch._utils _rebuild_parameter": _parameter,
    "torch._utils _rebuild_parameter_with_state": _parameter,
    "torch._tensor _rebuild_from_type_v2": _with_attributes,
    "torch Size": _size,
    "torch device": _device,
    "argparse Namespace": _namespace,
    "pathlib PosixPath": _path,
    "pathlib PurePosixPath": _path,
}
# Mentioned as arguments of the calls above, never called themselves.
_MENTIONS = ("torch Tensor", "torch.nn.parameter Parameter")

NAMES: dict[str, Known] = {
    **PLAIN_NAMES,
    **{name: Known(name, make) for name, make in _CALLS.items()},
    **{name: Known(name) for name in _MENTIONS},
    **{f"torch {name}": Known(f"torch {name}", value=dtype) for name, dtype in DTYPES.items()},
    **{f"torch {name}": Known(f"torch {name}", value=DTYPES[d]) for name, d in STORAGES.items()},
    "torch.storage UntypedStorage": Known("torch.storage UntypedStorage", value=np.dtype(np.uint8)),
}
