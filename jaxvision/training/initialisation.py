"""Starting from other weights: a chain of sources, each reported parameter by parameter."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxvision.errors import InputError, nearest
from jaxvision.text_files import a_count, read_json
from jaxvision.weights.mapping import flatten, unflatten

KEYS = ("from", "to", "rename", "drop", "layers", "select_rows", "adapt")
SHOWN = 2  # of what does not fit
# What a link with `to` takes along: a subtree's parameters and its batch statistics.
_SUBTREES = ("params/", "batch_stats/")
# adapt(path, value, shape) -> the value in that shape: `Task.adapt`.
Adapt = Callable[[str, np.ndarray, tuple[int, ...]], Any]


@dataclass
class Report:
    """What one link of the chain did, by path."""

    source: str
    loaded: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.source}: {len(self.loaded)} parameters loaded, {len(self.dropped)} dropped, "
            f"{len(self.kept)} keep their initial values"
            + (
                f" ({', '.join(self.kept[:6])}{' ...' if len(self.kept) > 6 else ''})"
                if self.kept
                else ""
            )
        )


def apply(
    variables: Mapping[str, Any],
    chain: Sequence[Mapping[str, Any]],
    read: Callable[[str], Mapping[str, Any]],
    adapt: Adapt | None = None,
) -> tuple[dict[str, Any], list[Report]]:
    """`variables` (host arrays or shapes) with the values of each link of `chain` put in.

    A link is {"from": weights} and, where wanted, in the order in which they act:

    "to": path of a subtree of the parameters; the source's parameters and batch statistics go below
        it ("" = all of the source's collections as they are).
    "rename": ((pattern, replacement), ...), "drop": (pattern, ...).
    "layers": {pattern: (first, end)}: layers [first, end) of stacked leaves.
    "select_rows": {pattern: indices along the last axis, or a JSON file of them}.
    "adapt": True: a value of another shape than its place goes through the task's own
        `adapt(path, value, shape)`.

    Patterns are regular expressions over the source's paths, with "to" without the collection in
    front ("head/kernel"), tried in order. `read(source)` gives
    the source's variables. Everything the source holds and nothing drops must find a place of its
    shape, else InputError lists what did not.
    """
    flat = dict(flatten(variables))
    reports = []
    for link in chain:
        unknown = set(link) - set(KEYS)
        if unknown:
            wrong = sorted(unknown)[0]
            raise InputError(f"init: unknown key {wrong!r}{nearest(wrong, KEYS)}")
        if link.get("adapt") and adapt is None:
            raise InputError(f"init from {link['from']}: no task is there to adapt its values")
        reports.append(_apply_one(flat, link, flatten(read(link["from"])), adapt))
    return unflatten(flat), reports


def _apply_one(
    flat: dict[str, Any], link: Mapping[str, Any], source: Mapping, adapt: Adapt | None
) -> Report:
    report = Report(link["from"])
    to = link.get("to", "").strip("/")
    problems = []
    for path, array in source.items():
        # 1. What it is called here. Below `to`, patterns see no collection.
        collection = next((start for start in _SUBTREES if path.startswith(start)), "")
        if to and not collection:
            continue
        prefix, name = (f"{collection}{to}/", path[len(collection) :]) if to else ("", path)
        for pattern, replacement in link.get("rename", ()):
            name = re.sub(pattern, replacement, name)
        if any(re.search(pattern, name) for pattern in link.get("drop", ())):
            report.dropped.append(path)
            continue
        target = prefix + name
        # 2. The part of it that is wanted.
        for pattern, layers in (link.get("layers") or {}).items():
            if re.search(pattern, name):
                array = _layers(array, layers, path)
        for pattern, rows in (link.get("select_rows") or {}).items():
            if re.search(pattern, name):
                array = np.asarray(array)[..., _rows(rows)]
        # 3. Into its place, in the place's shape.
        if target not in flat:
            problems.append(f"{path} has no place" + f" ({target})" * (target != path))
            continue
        shape, note = tuple(flat[target].shape), ""
        if link.get("adapt") and adapt and array.shape != shape:
            note = f" (adapted from {tuple(array.shape)})"
            array = np.asarray(adapt(target, np.asarray(array), shape))
        if array.shape != shape:
            problems.append(f"{path} {tuple(array.shape)}{note} for {target} {shape}")
        else:
            flat[target] = np.asarray(array)
            report.loaded.append(target)
    if problems:
        shown = "; ".join(problems[:SHOWN]) + ("; ..." if len(problems) > SHOWN else "")
        count = f"{len(problems)} of its {len(source)} values do not fit: {shown}"
        ways = "use rename, drop, layers, select_rows or adapt"
        told = ways if report.loaded else "these are weights of another network"
        raise InputError(f"init from {link['from']}: {count}; {told}")
    if not report.loaded:
        raise InputError(
            f"init from {link['from']}: nothing was loaded: {len(report.dropped)} parameters are "
            "there, and what the link says drops them all; these are weights of another network"
        )
    below = tuple(f"{start}{to}/" for start in _SUBTREES) if to else ("params/",)
    report.kept = sorted(
        path for path in flat if path.startswith(below) and path not in report.loaded
    )
    return report


def _layers(stack: Any, layers: Any, path: str) -> np.ndarray:
    """Layers [first, end) of a stacked leaf."""
    first, end = layers
    if not (np.ndim(stack) and 0 <= first < end <= len(stack)):
        raise InputError(f"init layers: {path} {tuple(stack.shape)} has no layers [{first}, {end})")
    return np.asarray(stack)[first:end]


def _rows(rows: Any) -> np.ndarray:
    """Indices along the last axis (output features), given in place or as a JSON file."""
    if isinstance(rows, str):
        rows = read_json(rows, [a_count])
    return np.asarray(rows, np.int64)
