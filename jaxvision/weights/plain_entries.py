"""What a checkpoint holds beside its weights and is numbers and text (its epoch, its best metrics):
as JSON, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxvision.errors import InputError

# Values of an entry, tensors' included: with more it is an optimizer or a network.
MOST_VALUES = 1000
_TENSOR = {"dtype", "values"}


def to_json(rest: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a `CheckpointFile.rest` that are plain: mappings, lists, numbers, text and
    small tensors. Others (an optimizer's state, objects) are left out."""
    found = {}
    for name, value in rest.items():
        try:
            left = [MOST_VALUES]
            found[str(name)] = _to_json(value, left)
        except ValueError:
            continue
    return found


def _to_json(value: Any, left: list[int]) -> Any:
    left[0] -= value.size if isinstance(value, np.ndarray) else 1
    if left[0] < 0:
        raise ValueError("not small")
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf":
        return {"dtype": value.dtype.name, "values": value.tolist()}
    if isinstance(value, (list, tuple)):
        return [_to_json(each, left) for each in value]
    named = isinstance(value, Mapping) and all(type(key) is str for key in value)
    if named and value.keys() != _TENSOR:
        return {key: _to_json(each, left) for key, each in value.items()}
    raise ValueError("not plain")


def from_json(value: Any, where: str = "beside") -> Any:
    """What `to_json` was given; a tuple as a list. InputError names the place of what cannot be a
    tensor.  where: of `value`."""
    if isinstance(value, list):
        return [from_json(each, f"{where}[{number}]") for number, each in enumerate(value)]
    if isinstance(value, dict):
        if value.keys() == _TENSOR:
            return _tensor(value["values"], value["dtype"], where)
        return {key: from_json(each, f"{where}.{key}") for key, each in value.items()}
    return value


def _tensor(values: Any, dtype: Any, where: str) -> np.ndarray:
    """An array of numbers, as `to_json` takes them apart."""
    try:
        kind = np.dtype(dtype if isinstance(dtype, str) else "O")
        if kind.kind in "biuf":
            return np.asarray(values, kind)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{where}: no tensor of {dtype!r} ({error})") from error
    raise InputError(f"{where}: dtype {dtype!r}; expected one of numbers, such as float32")
