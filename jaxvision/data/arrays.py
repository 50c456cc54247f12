"""Arrays in `.npy`, `.npz` and `.pkl` files, told by content, running nothing that a pickle asks.

Published features are npz archives named `.npy`, tables are pickled dictionaries in real `.npy`
files, and annotations plain pickles. A pickle may only hold NumPy arrays and plain Python values
here (weights/pickle_machine.py reads it). Sizes are checked against the file before memory is asked
for.
"""

import contextlib
import io
import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from jaxvision.errors import InputError, reading
from jaxvision.weights.pickle_machine import DamagedError, Opaque, PickleMachine, RefusedError
from jaxvision.weights.plain_names import OBJECT_ARRAY, PLAIN_NAMES, array_of

ZIP_MAGIC, NPY_MAGIC = b"PK\x03\x04", b"\x93NUMPY"
# What a compressed archive may expand to: features shrink by less than ten.
EXPANSION, FREE_EXPANSION = 64, 64 << 20


def read_arrays(path: Path) -> Mapping[str, Any]:
    """{key: array} of an archive or of a pickled dictionary; {"": array} of a plain array. Arrays
    are read-only.

    InputError names the file where it is none of these, is damaged, or holds a pickle that asks
    for more than arrays.
    """
    with _arrays(path) as file:
        magic = file.read(6)
        file.seek(0)
        if magic.startswith(ZIP_MAGIC):
            return _read_archive(file)
        if magic != NPY_MAGIC:
            raise DamagedError("neither an .npy array nor an .npz archive")
        return _read_npy(file, pickled=True)


def read_pickle(path: Path) -> Mapping[str, Any]:
    """The dictionary of plain values and arrays that a `.pkl` file holds, of Python 2 or 3; errors
    as above."""
    with _arrays(path) as file:
        return _mapping(_unpickled(file.read()))


@contextlib.contextmanager
def _arrays(path: Path) -> Iterator[IO[bytes]]:
    """The opened file; what is wrong with it becomes an InputError."""
    try:
        with reading(path, "arrays", (RefusedError, DamagedError)), open(path, "rb") as file:
            yield file
    except RefusedError as error:
        raise InputError(f"{path}: its pickle asks for {error}; expected only arrays") from error
    except DamagedError as error:
        raise InputError(f"{path}: damaged or not plain arrays: {error}") from error


def _read_archive(file: IO[bytes]) -> dict[str, Any]:
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        size = sum(entry.file_size for entry in entries)
        if size > FREE_EXPANSION + EXPANSION * os.fstat(file.fileno()).st_size:
            raise DamagedError(f"an archive that expands to {size} bytes")
        found = {
            entry.filename.removesuffix(".npy"): _read_npy(io.BytesIO(archive.read(entry)))[""]
            for entry in entries
        }
        if len(found) != len(entries):
            raise DamagedError("an archive with two arrays of one name")
        return found


def _read_npy(file: IO[bytes], pickled: bool = False) -> Mapping[str, Any]:
    version = np.lib.format.read_magic(file)
    first = version == (1, 0)
    header = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    shape, column_major, dtype = header(file)
    data = file.read()
    if not dtype.hasobject:
        needed = math.prod(shape) * dtype.itemsize
        return {"": array_of(memoryview(data)[:needed], dtype, shape, column_major)}
    if not pickled:
        raise RefusedError("objects in an archive")
    return _mapping(_unpickled(data))


def _unpickled(data: bytes) -> Any:
    return PickleMachine(PLAIN_NAMES, strict=True).load(data)


def _mapping(value: Any) -> Mapping[str, Any]:
    """The dictionary that a pickle is, or that its array of one object holds."""
    if isinstance(value, Opaque) and value.name == OBJECT_ARRAY and len(value.state) == 1:
        (value,) = value.state
    if not isinstance(value, dict):
        raise DamagedError(f"a pickled {type(value).__name__}, expected a dictionary")
    return value
