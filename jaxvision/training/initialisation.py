"""Starting from other weights: a chain of sources, each reported parameter by parameter."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jaxvision.errors import InputError, nearest
from jaxvision.weights.mapping import flatten, unflatten

KEYS = ("from", "to", "rename", "drop", "select_rows")


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
) -> tuple[dict[str, Any], list[Report]]:
    """`variables` (host arrays or shapes) with the values of each link of `chain` put in.

    A link is {"from": weights, "to": path of a subtree of params ("" = the whole), "rename":
    ((pattern, replacement), ...), "drop": (pattern, ...), "select_rows": {path: indices or a JSON
    file of them}}; patterns are regular expressions over the source's paths, tried in order.
    `read(source)` gives the source's variables. Everything the source holds and nothing drops must
    find a place of its shape, else InputError lists what did not.
    """
    flat = dict(flatten(variables))
    reports = []
    for link in chain:
        unknown = set(link) - set(KEYS)
        if unknown:
            wrong = sorted(unknown)[0]
            raise InputError(f"init: unknown key {wrong!r}{nearest(wrong, KEYS)}")
        reports.append(_apply_one(flat, link, flatten(read(link["from"]))))
    return unflatten(flat), reports


def _apply_one(flat: dict[str, Any], link: Mapping[str, Any], source: Mapping) -> Report:
    report = Report(link["from"])
    to = link.get("to", "").strip("/")
    # An empty `to` takes the source's collections as they are; otherwise its params go below it.
    prefix = f"params/{to}/" if to else ""
    problems = []
    for path, array in source.items():
        if to and not path.startswith("params/"):
            continue
        name = path.removeprefix("params/") if to else path
        for pattern, replacement in link.get("rename", ()):
            name = re.sub(pattern, replacement, name)
        target = prefix + name
        if any(re.search(pattern, name) for pattern in link.get("drop", ())):
            report.dropped.append(path)
            continue
        for selected, rows in (link.get("select_rows") or {}).items():
            if re.search(selected, name):
                array = np.asarray(array)[..., _rows(rows)]
        if target not in flat:
            problems.append(f"{path} has no place ({target})")
        elif tuple(flat[target].shape) != tuple(array.shape):
            problems.append(f"{path} {tuple(array.shape)} for {target} {tuple(flat[target].shape)}")
        else:
            flat[target] = np.asarray(array)
            report.loaded.append(target)
    if problems:
        shown = "; ".join(problems[:6]) + (
            f"; and {len(problems) - 6} more" if len(problems) > 6 else ""
        )
        raise InputError(f"init from {link['from']}: {shown}; use rename, drop or select_rows")
    report.kept = sorted(
        path for path in flat if path.startswith(prefix or "params/") and path not in report.loaded
    )
    return report


def _rows(rows: Any) -> np.ndarray:
    """Indices along the last axis (output features), given in place or as a JSON file."""
    if isinstance(rows, str):
        try:
            rows = json.loads(Path(rows).read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"init select_rows: {rows}: {error}") from error
    return np.asarray(rows, np.int64)
