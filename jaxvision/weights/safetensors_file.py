"""`.safetensors` files: an eight-byte header length, a JSON header, and the tensors' bytes."""

import json
import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxvision.errors import InputError, reading
from jaxvision.text_files import check_shape
from jaxvision.weights.plain_names import MAX_RANK
from jaxvision.weights.torch_names import DTYPES

_NAMES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
    "BOOL": "bool",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "C64": "complex64",
}
_DTYPES = {code: DTYPES[name] for code, name in _NAMES.items()}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
# The format's own bound on a header.
_MAX_HEADER = 100_000_000


def read_safetensors(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """(tensors by name in the header's order, the text metadata); tensors are read-only views.

    Raises InputError, one line naming the file and the tensor at fault.
    """
    path = Path(path)
    with reading(path, "a .safetensors file"):
        size = os.path.getsize(path)
        if size < 8:
            raise InputError(f"{path}: {size} bytes are no .safetensors file")
        mapped = np.asarray(np.memmap(path, np.uint8, mode="r"))
        (length,) = struct.unpack("<Q", mapped[:8].tobytes())
        if length > min(size - 8, _MAX_HEADER):
            raise InputError(f"{path}: no .safetensors file, or its header is cut short")
        try:
            header = json.loads(mapped[8 : 8 + length].tobytes())
            metadata = header.pop("__metadata__", {})
            entries = {
                name: (entry["dtype"], tuple(entry["shape"]), *entry["data_offsets"][:2])
                for name, entry in header.items()
            }
        except Exception as error:
            kind = type(error).__name__
            raise InputError(f"{path}: the .safetensors header makes no sense ({kind})") from error
        check_shape(metadata, {str: str}, f"{path}: __metadata__")
        data = mapped[8 + length :]
        tensors = {name: _tensor(path, name, data, *entry) for name, entry in entries.items()}
        _check_places(path, entries, len(data))
    return tensors, metadata


def _check_places(path: Path, entries: Mapping[str, tuple], size: int) -> None:
    """The format's own rule: tensors lie one after the other and fill the file. So none is read
    for another, and their values take no more memory than the file."""
    end = 0
    for name, (_, _, begin, next_end) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if begin != end:
            raise InputError(f"{path}: {name} begins at byte {begin}; expected {end}")
        end = next_end
    if end != size:
        raise InputError(f"{path}: {size} bytes of values; its tensors end at {end}")


def _tensor(
    path: Path, name: str, data: np.ndarray, code: str, shape: tuple, begin: int, end: int
) -> np.ndarray:
    if code not in _DTYPES:
        raise InputError(f"{path}: {name} has dtype {code}; known: {', '.join(_DTYPES)}")
    dtype = _DTYPES[code]
    if len(shape) > MAX_RANK:
        raise InputError(f"{path}: {name} has {len(shape)} dimensions; expected at most {MAX_RANK}")
    whole = all(type(n) is int and n >= 0 for n in (*shape, begin, end))
    if not whole or end - begin != math.prod(shape) * dtype.itemsize:
        raise InputError(f"{path}: {name} of shape {shape} does not fill bytes {begin} to {end}")
    if end > len(data):
        raise InputError(f"{path}: cut short: {name} ends at byte {end} of {len(data)}")
    return data[begin:end].view(dtype).reshape(shape)


def write_safetensors(
    path: str | Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors in the order given, with text metadata."""
    path = Path(path)
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    arrays, end = [], 0
    for name, tensor in tensors.items():
        array = np.asarray(tensor, np.asarray(tensor).dtype.newbyteorder("="), order="C")
        if array.dtype not in _CODES:
            raise InputError(f"{path}: .safetensors has no dtype like {array.dtype} ({name})")
        begin, end = end, end + array.nbytes
        header[name] = {
            "dtype": _CODES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
        arrays.append(array)
    text = json.dumps(header, separators=(",", ":")).encode()
    # Tensors start at a multiple of eight bytes.
    text += b" " * (-len(text) % 8)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for array in arrays:
            stream.write(array.reshape(-1).view(np.uint8).data)
    os.replace(partial, path)
