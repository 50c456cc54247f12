"""Files that `torch.load` reads, written without PyTorch (the zip format)."""

import os
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from jaxvision.errors import InputError
from jaxvision.weights.torch_names import DTYPES, STORAGES

_STORAGE_OF = {DTYPES[dtype]: name for name, dtype in STORAGES.items()}
_DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}
# PyTorch maps records straight from disk when they start at a multiple of this.
_ALIGNMENT = 64
_PADDING_FIELD = 0x4246
_ROOT = "archive"


def write_torch_file(path: str | Path, contents: Any) -> None:
    """Write plain data (mappings, lists, numbers, text, NumPy arrays as tensors) for `torch.load`.

    Mappings are written as OrderedDict where they hold only arrays, so that they load as a state
    dict does. Arrays that are the same memory are written once each. Raises InputError for data
    that has no counterpart in such a file.
    """
    path = Path(path)
    pickler = _Pickler()
    data = pickler.dump(contents, str(path))
    partial = path.with_name(path.name + ".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        _write(archive, "data.pkl", data)
        _write(archive, "byteorder", b"little")
        for key, array in enumerate(pickler.storages):
            _write(archive, f"data/{key}", array.reshape(-1).view(np.uint8).data)
        _write(archive, "version", b"3\n")
    os.replace(partial, path)


def _write(archive: zipfile.ZipFile, name: str, data: bytes | memoryview) -> None:
    info = zipfile.ZipInfo(f"{_ROOT}/{name}", (1980, 0, 0, 0, 0, 0))
    header = 30 + len(info.filename) + 4
    if len(data) >= zipfile.ZIP64_LIMIT:
        header += 20  # the extra field with the long sizes, which zipfile puts in front
    padding = -(archive.fp.tell() + header) % _ALIGNMENT  # type: ignore[union-attr]
    info.extra = struct.pack("<HH", _PADDING_FIELD, padding) + b"Z" * padding
    with archive.open(info, "w", force_zip64=len(data) >= zipfile.ZIP64_LIMIT) as record:
        record.write(data)


class _Pickler:
    """Emits protocol-2 opcodes by hand, since PyTorch's names cannot be imported here."""

    def __init__(self):
        self.storages: list[np.ndarray] = []
        self._out = bytearray()

    def dump(self, contents: Any, source: str) -> bytes:
        self._source = source
        self._out += pickle.PROTO + b"\x02"
        self._value(contents)
        self._out += pickle.STOP
        return bytes(self._out)

    def _value(self, value: Any) -> None:
        out = self._out
        if isinstance(value, np.ndarray):
            self._tensor(value)
        elif value is None:
            out += pickle.NONE
        elif isinstance(value, (bool, np.bool_)):
            out += pickle.NEWTRUE if value else pickle.NEWFALSE
        elif isinstance(value, (int, np.integer)):
            self._integer(int(value))
        elif isinstance(value, (float, np.floating)):
            out += pickle.BINFLOAT + struct.pack(">d", float(value))
        elif isinstance(value, str):
            text = value.encode("utf-8", "surrogatepass")
            out += pickle.BINUNICODE + struct.pack("<I", len(text)) + text
        elif isinstance(value, tuple):
            self._items(value, pickle.TUPLE)
        elif isinstance(value, list):
            out += pickle.EMPTY_LIST
            self._items(value, pickle.APPENDS)
        elif isinstance(value, Mapping):
            self._mapping(value)
        elif isinstance(value, SimpleNamespace):
            self._global("argparse", "Namespace")
            out += pickle.EMPTY_TUPLE + pickle.NEWOBJ
            self._mapping(vars(value))
            out += pickle.BUILD
        else:
            raise InputError(f"{self._source}: a {type(value).__name__} cannot be written")

    def _integer(self, value: int) -> None:
        data = pickle.encode_long(value)
        if len(data) > 255:
            raise InputError(f"{self._source}: an integer of {len(data)} bytes cannot be written")
        self._out += pickle.LONG1 + bytes([len(data)]) + data

    def _items(self, values: Any, end: bytes) -> None:
        self._out += pickle.MARK
        for value in values:
            self._value(value)
        self._out += end

    def _mapping(self, value: Mapping) -> None:
        if value and all(isinstance(item, np.ndarray) for item in value.values()):
            self._ordered_dict()
        else:
            self._out += pickle.EMPTY_DICT
        self._items([part for item in value.items() for part in item], pickle.SETITEMS)

    def _ordered_dict(self) -> None:
        self._global("collections", "OrderedDict")
        self._out += pickle.EMPTY_TUPLE + pickle.REDUCE

    def _global(self, module: str, name: str) -> None:
        self._out += pickle.GLOBAL + f"{module}\n{name}\n".encode()

    def _tensor(self, array: np.ndarray) -> None:
        dtype = array.dtype.newbyteorder("=")
        if dtype not in _DTYPE_NAMES:
            raise InputError(f"{self._source}: PyTorch has no dtype like {array.dtype}")
        # `ascontiguousarray` would make a scalar one-dimensional.
        data = np.asarray(array, dtype, order="C")
        key = str(len(self.storages))
        self.storages.append(data)
        typed = _STORAGE_OF.get(dtype)
        self._global("torch._utils", "_rebuild_tensor_v2" if typed else "_rebuild_tensor_v3")
        self._out += pickle.MARK
        self._out += pickle.MARK
        self._value("storage")
        if typed:
            self._global("torch", typed)
        else:
            self._global("torch.storage", "UntypedStorage")
        for part in (key, "cpu", data.size if typed else data.nbytes):
            self._value(part)
        self._out += pickle.TUPLE + pickle.BINPERSID
        self._value(0)
        self._value(data.shape)
        self._value(tuple(step // data.itemsize for step in _strides(data)))
        self._out += pickle.NEWFALSE
        self._ordered_dict()
        if not typed:
            self._global("torch", _DTYPE_NAMES[dtype])
        self._out += pickle.TUPLE + pickle.REDUCE


def _strides(array: np.ndarray) -> tuple[int, ...]:
    """Row-major strides in bytes; NumPy leaves those of empty and length-1 axes open."""
    strides, step = [], array.itemsize
    for side in reversed(array.shape):
        strides.append(step)
        step *= max(side, 1)
    return tuple(reversed(strides))
