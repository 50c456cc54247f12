"""Arrays in `.npy` and `.npz` files, told by content, without running what a pickle asks for.

Published features are npz archives named `.npy`, and tables are pickled dictionaries in real `.npy`
files. A pickle may only build NumPy arrays and plain Python values here.
"""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxvision.errors import InputError

ZIP_MAGIC, NPY_MAGIC = b"PK\x03\x04", b"\x93NUMPY"
# All that a pickled array, dtype or NumPy scalar asks for, under old and new module names.
ALLOWED = {
    (f"numpy.{core}.multiarray", name)
    for core in ("core", "_core")
    for name in ("_reconstruct", "scalar")
} | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}


class ArrayUnpickler(pickle.Unpickler):
    """Builds arrays and plain values; refuses to look anything else up."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"asks for {module}.{name}")
        return super().find_class(module, name)


def read_arrays(path: Path) -> Mapping[str, Any]:
    """{key: array} of an archive or of a pickled dictionary; {"": array} of a plain array.

    InputError names the file where it is none of these, is damaged, or holds a pickle that asks
    for more than arrays.
    """
    try:
        with open(path, "rb") as file:
            magic = file.read(6)
            file.seek(0)
            if magic.startswith(ZIP_MAGIC):
                with np.load(file, allow_pickle=False) as archive:
                    return {key: archive[key] for key in archive.files}
            if magic != NPY_MAGIC:
                raise InputError(f"{path}: neither an .npy array nor an .npz archive")
            return _read_npy(file)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise InputError(f"{path}: damaged or not plain arrays ({error})") from error
    except (pickle.UnpicklingError, AttributeError, TypeError) as error:
        raise InputError(f"{path}: its pickle {error}; expected only arrays") from error


def _read_npy(file: Any) -> Mapping[str, Any]:
    version = np.lib.format.read_magic(file)
    read_header = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    _, _, dtype = read_header(file)
    if not dtype.hasobject:
        file.seek(0)
        return {"": np.lib.format.read_array(file, allow_pickle=False)}
    value = ArrayUnpickler(file, encoding="latin1").load()
    if isinstance(value, np.ndarray) and value.dtype.hasobject and value.size == 1:
        value = value.item()
    if not isinstance(value, dict):
        raise ValueError(f"a pickled {type(value).__name__}, expected a dictionary")
    return value
