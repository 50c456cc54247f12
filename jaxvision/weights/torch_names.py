"""What the names inside a `torch.save` file mean: plain data, made by functions of ours."""

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np

from jaxvision.weights.pickle_machine import DamagedError, Known, RefusedError, Unfinished

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


def tensor(storage: Any, offset: int, shape: Iterable[int], strides: Iterable[int]) -> np.ndarray:
    """A view of `storage` (flat, read-only): offset and strides in elements."""
    shape, strides = tuple(shape), tuple(strides)
    if not isinstance(storage, np.ndarray) or len(shape) != len(strides):
        raise DamagedError("a tensor without a storage")
    if offset < 0 or any(n < 0 for n in (*shape, *strides)):
        raise DamagedError(f"a tensor at offset {offset} of shape {shape} and strides {strides}")
    if 0 in shape:
        return np.zeros(shape, storage.dtype)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if last >= storage.size:
        raise DamagedError(
            f"a tensor of shape {shape} needs {last + 1} values of a storage of {storage.size}"
        )
    size = storage.itemsize
    return np.lib.stride_tricks.as_strided(
        storage[offset:], shape, tuple(step * size for step in strides), writeable=False
    )


def _tensor_v2(storage: Any, offset: int, shape: Any, strides: Any, *_: Any) -> np.ndarray:
    return tensor(storage, offset, shape, strides)


def _tensor_v3(
    storage: Any,
    offset: int,
    shape: Any,
    strides: Any,
    grad: Any,
    hooks: Any,
    dtype: Known,
    *_: Any,
) -> np.ndarray:
    # The offset and strides of an untyped storage count elements of `dtype`.
    return tensor(np.asarray(storage).view(dtype.value), offset, shape, strides)


def _parameter(data: np.ndarray, *_: Any) -> np.ndarray:
    return data


def _with_attributes(function: Known, cls: Any, arguments: tuple, state: Any) -> Any:
    if function.make is None:
        raise RefusedError(f"a call of {function.name}")
    return function.make(*arguments)


def _namespace(*_: Any) -> Unfinished:
    return Unfinished(lambda state: SimpleNamespace(**state))


def _numpy_dtype(code: str, *_: Any) -> Unfinished:
    dtype = np.dtype(code)
    if dtype.hasobject or dtype.fields:
        raise RefusedError(f"numpy dtype {code}")

    def finish(state: tuple) -> np.dtype:
        return dtype.newbyteorder(state[1]) if state[1] in "<>" else dtype

    return Unfinished(finish)


def _numpy_scalar(dtype: Any, data: bytes) -> np.generic:
    return np.frombuffer(data, _settled(dtype))[0]


def _numpy_array(*_: Any) -> Unfinished:
    def finish(state: tuple) -> np.ndarray:
        _, shape, dtype, column_major, data = state
        flat = np.frombuffer(_latin1(data), _settled(dtype))
        return flat.reshape(shape, order="F" if column_major else "C")

    return Unfinished(finish)


def _settled(dtype: Any) -> np.dtype:
    return dtype if isinstance(dtype, np.dtype) else dtype.finish((3, "="))


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        raise RefusedError(f"_codecs.encode to {encoding}")
    return text.encode(encoding)


def _latin1(data: str | bytes) -> bytes:
    return data.encode("latin1") if isinstance(data, str) else data


def _default_dict(factory: Any = None, *items: Any) -> dict:
    return dict(*items)


def _path(*parts: str) -> str:
    return "/".join(parts)


_NUMPY_CALLS: dict[str, Callable[..., Any]] = {
    "scalar": _numpy_scalar,
    "_reconstruct": _numpy_array,
}
_CALLS: dict[str, Callable[..., Any]] = {
    "torch._utils _rebuild_tensor_v2": _tensor_v2,
    "torch._utils _rebuild_tensor_v3": _tensor_v3,
    "torch._utils _rebuild_tensor": tensor,
    "torch._utils _rebuild_parameter": _parameter,
    "torch._utils _rebuild_parameter_with_state": _parameter,
    "torch._tensor _rebuild_from_type_v2": _with_attributes,
    "torch Size": tuple,
    "torch device": lambda *name: ":".join(map(str, name)),
    "collections OrderedDict": dict,
    "collections defaultdict": _default_dict,
    "collections Counter": dict,
    "argparse Namespace": _namespace,
    "_codecs encode": _encode,
    "pathlib PosixPath": _path,
    "pathlib PurePosixPath": _path,
    "copyreg _reconstructor": lambda cls, *_: cls,
    "copy_reg _reconstructor": lambda cls, *_: cls,
    **{
        f"{module} {name}": make
        for module in ("builtins", "__builtin__")
        for name, make in {
            "set": set,
            "frozenset": frozenset,
            "slice": slice,
            "complex": complex,
            "bytearray": bytearray,
        }.items()
    },
    **{
        f"numpy.{core}.multiarray {name}": make
        for core in ("core", "_core")
        for name, make in _NUMPY_CALLS.items()
    },
    "numpy dtype": _numpy_dtype,
}
# Mentioned as arguments of the calls above, never called themselves.
_MENTIONS = (
    "numpy ndarray",
    "torch Tensor",
    "torch.nn.parameter Parameter",
    "builtins object",
    "__builtin__ object",
    *(
        f"{module} {name}"
        for module in ("builtins", "__builtin__")
        for name in ("int", "list", "dict")
    ),
)

NAMES: dict[str, Known] = {
    **{name: Known(name, make) for name, make in _CALLS.items()},
    **{name: Known(name) for name in _MENTIONS},
    **{f"torch {name}": Known(f"torch {name}", value=dtype) for name, dtype in DTYPES.items()},
    **{f"torch {name}": Known(f"torch {name}", value=DTYPES[d]) for name, d in STORAGES.items()},
    "torch.storage UntypedStorage": Known("torch.storage UntypedStorage", value=np.dtype(np.uint8)),
}
