"""An official checkpoint file of either format: its tensors, and how the file wrapped them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jaxvision.errors import InputError, nearest
from jaxvision.weights.safetensors_file import read_safetensors, write_safetensors
from jaxvision.weights.torch_file import read_torch_file
from jaxvision.weights.torch_writer import write_torch_file

# Where training scripts put the weights beside optimizer and epoch, in the order they are tried:
# the averaged ones first, where a script that kept both evaluated those.
KEYS = (
    "ema",
    "model",
    "module",
    "state_dict",
    "model_state_dict",
    "net",
    "model_ema",
    "state_dict_ema",
    "blobs",
)
# What wrappers put in front of every name: data parallelism, compilation, re-uploads.
PREFIXES = ("module.", "_orig_mod.", "model.")
MOST_PREFIXES = 4


@dataclass(frozen=True)
class CheckpointFile:
    """tensors: by official name, in the file's order, `prefix` taken off.

    key: the entry of the file that held them; None where the file is the state dict itself.
    prefix: what every name carried in the file.
    rest: what else the file held (optimizer, epoch, arguments).
    """

    tensors: dict[str, np.ndarray]
    key: str | None = None
    prefix: str = ""
    rest: dict[str, Any] = field(default_factory=dict)

    def other_entries(self) -> list[str]:
        """Entries of the file that could have been taken instead of `key`."""
        return [name for name, part in self.rest.items() if _holds_tensors(part)]


def read_checkpoint(
    path: str | Path, keys: Sequence[str] = KEYS, entry: str | None = None
) -> CheckpointFile:
    """Read a `.safetensors` file, or any other name as a `torch.save` file or a plain
    pickle.

    keys: entries that may hold the weights.  entry: the one that must.  Raises InputError where
    there are none.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix == ".safetensors":
        if entry is not None:
            raise InputError(f"{path}: has no entries, so none called {entry!r}")
        tensors, metadata = read_safetensors(path)
        if not tensors:
            raise InputError(f"{path}: no tensors")
        return _unwrapped(tensors, None, dict(metadata))
    contents = read_torch_file(path)
    if not isinstance(contents, Mapping):
        raise InputError(f"{path}: holds a {type(contents).__name__}; expected a state dict")
    for key in keys if entry is None else (entry,):
        inner = contents.get(key, {})
        if _holds_tensors(inner):
            rest = {name: value for name, value in contents.items() if name != key}
            return _unwrapped(_tensors(inner), key, rest)
    if entry is not None:
        known = [str(name) for name, part in contents.items() if _holds_tensors(part)]
        raise InputError(f"{path}: no tensors under {entry!r}{nearest(entry, known)}")
    tensors = _tensors(contents)
    if not tensors:
        raise InputError(
            f"{path}: no tensors, and none under {', '.join(keys)}; its entries are "
            f"{', '.join(str(name)[:80] for name in list(contents)[:8])}"
        )
    return _unwrapped(tensors, None, {k: v for k, v in contents.items() if k not in tensors})


def write_checkpoint(
    path: str | Path,
    tensors: Mapping[str, np.ndarray],
    key: str | None = None,
    prefix: str = "",
    *,
    beside: Mapping[str, Any] | None = None,
) -> None:
    """Write tensors as `path`'s suffix says (.safetensors, else `torch.save`'s zip format), under
    `key` with the entries `beside` it (both ignored by .safetensors, which has no such level),
    `prefix` before every name."""
    named = {prefix + name: np.asarray(array) for name, array in tensors.items()}
    if Path(path).suffix == ".safetensors":
        write_safetensors(path, named)
    else:
        write_torch_file(path, named if key is None else {**(beside or {}), key: named})


def _tensors(contents: Mapping) -> dict[str, np.ndarray]:
    return {
        name: value
        for name, value in contents.items()
        if isinstance(name, str) and isinstance(value, np.ndarray)
    }


def _holds_tensors(part: Any) -> bool:
    return isinstance(part, Mapping) and bool(_tensors(part))


def _unwrapped(tensors: dict, key: str | None, rest: dict) -> CheckpointFile:
    prefix = ""
    for _ in range(MOST_PREFIXES):
        taken = [p for p in PREFIXES if all(n.startswith(prefix + p) for n in tensors)]
        if not taken:
            break
        prefix += taken[0]
    return CheckpointFile(
        {name[len(prefix) :]: array for name, array in tensors.items()}, key, prefix, rest
    )
