"""`torch.save` files without PyTorch: the zip format (since 1.6) and the one before it, read-only,
and the plain pickles of NumPy arrays that came before PyTorch (Caffe2's `.pkl`).

Nothing a file asks for is run (see pickle_machine.py). Tensors are views of the mapped file: a
checkpoint of any size costs no memory until its values are used.
"""

import mmap
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from jaxvision.errors import InputError, reading
from jaxvision.weights.pickle_machine import DamagedError, Known, PickleMachine, RefusedError
from jaxvision.weights.torch_names import NAMES

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
# How pickles of mappings, and of what stands before one in a file, begin.
_PICKLES = {bytes([first]) for first in b"\x80(}]cIL"}
# A local file header of the zip format: what its fixed part is, and where its two lengths stand.
_ZIP_HEADER = 30
_ZIP_LENGTHS = slice(26, 30)


def read_torch_file(path: str | Path) -> Any:
    """What `torch.save` wrote, as plain data: tensors are NumPy arrays (bfloat16 and float8 by
    ml_dtypes), read-only; mappings are dicts in the file's order; objects of unknown classes are
    `Opaque`.

    Raises InputError, one line naming the file, where it is no such file, is cut short or damaged,
    or asks for a call: then also what it asked for.
    """
    path = Path(path)
    try:
        with reading(path, "a PyTorch checkpoint", (RefusedError, DamagedError)):
            return _read_zip(path) if zipfile.is_zipfile(path) else _read_legacy(path)
    except RefusedError as error:
        raise InputError(
            f"{path}: refused, since it asks for {error}; weights hold data only"
        ) from error
    except DamagedError as error:
        raise InputError(f"{path}: damaged or no PyTorch checkpoint: {error}") from error


def _read_zip(path: Path) -> Any:
    mapped = np.asarray(np.memmap(path, np.uint8, mode="r"))
    with zipfile.ZipFile(path) as archive:
        listed = archive.infolist()
    records = {info.filename: info for info in listed}
    if len(records) != len(listed):
        raise DamagedError("two records of one name")
    # Records that share bytes are read once each: thousands of them in a small file.
    if sum(info.file_size for info in records.values()) > len(mapped):
        raise DamagedError("its records are larger than the file")
    pickles = [name for name in records if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise DamagedError("the archive holds no data.pkl")
    root = pickles[0].removesuffix("data.pkl")
    if f"{root}constants.pkl" in records:
        raise RefusedError(
            "a program to be run (TorchScript); save its state_dict() with PyTorch, or take the "
            "same network as .safetensors, as Hugging Face publishes it"
        )
    order = _record(mapped, records[f"{root}byteorder"]) if f"{root}byteorder" in records else None
    swap = order is not None and order.tobytes() == b"big"

    def storage_bytes(key: str) -> np.ndarray:
        info = records.get(f"{root}data/{key}")
        if info is None:
            raise DamagedError(f"storage {key} is missing")
        return _record(mapped, info)

    storages = _Storages(storage_bytes, swap)
    return PickleMachine(NAMES, storages).load(_record(mapped, records[pickles[0]]).tobytes())


def _record(mapped: np.ndarray, info: zipfile.ZipInfo) -> np.ndarray:
    """The bytes of one record of the archive, checked against its checksum."""
    if info.compress_type != zipfile.ZIP_STORED:
        raise DamagedError(f"record {info.filename} is compressed, which torch.save never does")
    header = mapped[info.header_offset : info.header_offset + _ZIP_HEADER].tobytes()
    if len(header) < _ZIP_HEADER or header[:4] != b"PK\x03\x04":
        raise DamagedError(f"record {info.filename} has no header")
    start = info.header_offset + _ZIP_HEADER + sum(struct.unpack("<HH", header[_ZIP_LENGTHS]))
    data = mapped[start : start + info.file_size]
    if len(data) != info.file_size:
        raise DamagedError(f"record {info.filename} is cut short")
    if zlib.crc32(data.data) != info.CRC:
        raise DamagedError(f"record {info.filename} does not match its checksum")
    return data


class _Storages:
    """Persistent ids -> flat arrays, each storage read once."""

    def __init__(self, read: Callable[[str], np.ndarray], swap: bool = False):
        self._read = read
        self._swap = swap
        self._found: dict[tuple[str, np.dtype], np.ndarray] = {}

    def __call__(self, identifier: Any) -> np.ndarray:
        key, dtype, count = storage_id(identifier)
        if (key, dtype) not in self._found:
            data = self._read(key)
            if len(data) != count * dtype.itemsize:
                raise DamagedError(
                    f"storage {key} has {len(data)} bytes where {count} values of {dtype} "
                    f"need {count * dtype.itemsize}"
                )
            flat = data.view(dtype.newbyteorder(">") if self._swap else dtype)
            self._found[key, dtype] = flat.astype(dtype) if self._swap else flat
        return self._found[key, dtype]


def storage_id(identifier: Any) -> tuple[str, np.dtype, int]:
    """(key, dtype, number of values) of a persistent id ("storage", type, key, device, number)."""
    if not isinstance(identifier, tuple) or len(identifier) < 5 or identifier[0] != "storage":
        raise DamagedError("a persistent id that is no storage's")
    _, kind, key, _, count = identifier[:5]
    if not isinstance(kind, Known) or not isinstance(kind.value, np.dtype):
        raise RefusedError(f"a storage of type {getattr(kind, 'name', type(kind).__name__)}")
    if not isinstance(key, str | int) or not isinstance(count, int) or not 0 <= count < 2**48:
        raise DamagedError("a storage whose key or size is none")
    return str(key), kind.value, count


def _read_legacy(path: Path) -> Any:
    """Magic number, protocol, system, object, the storages' keys, then each storage's values.
    A plain pickle is its object."""
    size = os.path.getsize(path)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        # A read past the end of a mapped file asks for no memory.
        stream = cast(IO[bytes], mapped)
        if mapped[:4] == b"PK\x03\x04":
            raise DamagedError(
                "the zip archive is cut short: its directory, at the end, is missing"
            )
        if mapped[:1] not in _PICKLES:
            raise DamagedError("neither torch.save's zip format nor a pickle")
        first = _header(stream)
        if isinstance(first, dict) and stream.tell() == size:
            return first
        if first != _LEGACY_MAGIC or _header(stream) != _LEGACY_PROTOCOL:
            raise DamagedError("neither torch.save's zip format, nor the one before it, nor data")
        _header(stream)
        # Tensors are read before the values: they view arrays filled afterwards.
        waiting: dict[str, np.ndarray] = {}
        left = size

        def promise(identifier: Any) -> np.ndarray:
            key, dtype, count = storage_id(identifier)
            if len(identifier) > 5 and identifier[5] is not None:
                raise RefusedError("a view of a storage, from PyTorch before 0.4")
            nonlocal left
            if key not in waiting:
                left -= count * dtype.itemsize
                if left < 0:
                    raise DamagedError(f"storage {key} of {count} values is larger than the file")
                waiting[key] = np.zeros(count, dtype)
            return waiting[key]

        contents = PickleMachine(NAMES, promise).load(stream)
        for key in PickleMachine(NAMES).load(stream):
            _fill(waiting, str(key), stream)
        return contents


def _header(stream: IO[bytes]) -> Any:
    try:
        return PickleMachine(NAMES).load(stream)
    except DamagedError:
        return None


def _fill(waiting: dict[str, np.ndarray], key: str, stream: IO[bytes]) -> None:
    count = stream.read(8)
    target = waiting.get(key)
    if target is None or len(count) != 8 or struct.unpack("<q", count)[0] != target.size:
        raise DamagedError(f"storage {key} is missing or of another size")
    data = stream.read(target.nbytes)
    if len(data) != target.nbytes:
        raise DamagedError(f"storage {key} is cut short")
    target[:] = np.frombuffer(data, target.dtype)
