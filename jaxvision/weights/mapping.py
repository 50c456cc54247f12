"""Official state-dict names <-> our parameter tree, both ways, nothing missing, nothing left over.

A method's `weights.py` lists one `Entry` per tensor of the official state dict, in the official
order. Our side is a flat dict `{"params/encoder/blocks/mlp/up/kernel": array}`: the collection,
then the module path, joined by "/". Blocks that `nn.scan` stacks are leaves with a leading layer
axis; an entry names its row with `layer`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxvision.errors import InputError
from jaxvision.weights.layout import SAME, Layout

FlatArrays = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One tensor of an official state dict.

    name: official name.  shape: official shape.
    path: where it lives in our flat variables; None when the published files hold it but nothing
        uses it (a counter, a dead branch): it is carried along unchanged.
    layout: how the official layout becomes ours.
    layer: row of a stacked leaf, or None for a leaf of its own.
    dtype: of the official tensor where it is not a float (counters).
    optional: some published files lack it, and our side has its value anyway.
    value: of a tensor that nothing uses, where it is known without a file (a table, a counter).
    """

    name: str
    shape: tuple[int, ...]
    path: str | None
    layout: Layout = SAME
    layer: int | tuple[int, ...] | None = None
    dtype: str = "float32"
    optional: bool = False
    value: Any = None


def flatten(variables: Mapping) -> FlatArrays:
    """Nested variables -> `{"collection/module/leaf": array}`."""
    from flax import traverse_util  # here: readers of files wait for no jax

    return traverse_util.flatten_dict(variables, sep="/")


def unflatten(flat: Mapping) -> dict:
    """Inverse of `flatten`."""
    from flax import traverse_util

    return traverse_util.unflatten_dict(dict(flat), sep="/")


def check_names(
    state_dict: Mapping[str, np.ndarray], entries: Iterable[Entry], source: str
) -> None:
    """Raise InputError listing every missing, unexpected or misshapen tensor of `state_dict`."""
    wanted = {entry.name: entry for entry in entries}
    missing = [n for n, e in wanted.items() if n not in state_dict and not e.optional]
    unexpected = [n for n in state_dict if n not in wanted]
    misshapen = [
        f"{n} {tuple(state_dict[n].shape)} for {e.shape}"
        for n, e in wanted.items()
        if n in state_dict and tuple(state_dict[n].shape) != e.shape
    ]
    problems = [
        f"{len(names)} {what}: {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}"
        for what, names in [
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", misshapen),
        ]
        if names
    ]
    if problems:
        raise InputError(f"{source}: tensors do not match the model: {'; '.join(problems)}")


def to_variables(
    state_dict: Mapping[str, np.ndarray], entries: Iterable[Entry], source: str = "state dict"
) -> tuple[dict, FlatArrays]:
    """Official tensors -> (our nested variables, the unused tensors by official name).

    Arrays keep their official dtype. Raises InputError when names or shapes do not match in full.
    """
    entries = list(entries)
    check_names(state_dict, entries, source)
    flat: FlatArrays = {}
    unused: FlatArrays = {}
    rows: dict[str, dict[tuple[int, ...], np.ndarray]] = {}
    for entry in entries:
        if entry.name not in state_dict:
            continue
        array = np.asarray(state_dict[entry.name])
        if entry.path is None:
            unused[entry.name] = array
        elif entry.layer is None:
            flat[entry.path] = entry.layout.ours(array)
        else:
            layer = entry.layer if isinstance(entry.layer, tuple) else (entry.layer,)
            rows.setdefault(entry.path, {})[layer] = entry.layout.ours(array)
    for path, by_layer in rows.items():
        counts = tuple(max(index) + 1 for index in zip(*by_layer, strict=True))
        first = next(iter(by_layer.values()))
        stacked = np.empty(counts + first.shape, first.dtype)
        for index, array in by_layer.items():
            stacked[index] = array
        flat[path] = stacked
    return unflatten(flat), unused


def to_state_dict(
    variables: Mapping, entries: Iterable[Entry], unused: Mapping[str, np.ndarray] | None = None
) -> FlatArrays:
    """Our nested variables -> official tensors in the official order (inverse of `to_variables`).

    Works on anything shaped like the variables: gradients, moments, averages. Leaves that
    `variables` lacks are left out, so a tree of gradients of `params` alone gives those names.
    """
    flat = flatten(variables)
    unused = unused or {}
    state_dict: FlatArrays = {}
    for entry in entries:
        if entry.path is None:
            if entry.name in unused:
                state_dict[entry.name] = np.asarray(unused[entry.name])
        elif entry.path in flat:
            leaf = np.asarray(flat[entry.path])
            row = leaf if entry.layer is None else leaf[entry.layer]
            official = entry.layout.official(row)
            state_dict[entry.name] = np.ascontiguousarray(official).reshape(entry.shape)
    return state_dict
