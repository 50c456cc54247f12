"""Official files -> a folder of our variables, and back with the same names, values and order; a
trained run's variables -> an official file.

The folder holds `variables.safetensors` (our flat paths; tensors that nothing uses under
"unused/NAME") and `conversion.json`: which network, and how the file was laid out and wrapped.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from jaxvision.errors import InputError, nearest
from jaxvision.text_files import OrNull, read_json
from jaxvision.weights import plain_entries
from jaxvision.weights.checkpoint_file import (
    KEYS,
    CheckpointFile,
    read_checkpoint,
    write_checkpoint,
)
from jaxvision.weights.mapping import (
    Entry,
    FlatArrays,
    flatten,
    to_state_dict,
    to_variables,
    unflatten,
)
from jaxvision.weights.official import OfficialModel
from jaxvision.weights.safetensors_file import read_safetensors, write_safetensors

VARIABLES, RECORD = "variables.safetensors", "conversion.json"
ORIGIN = {
    "network": str,
    "names": [str],
    "layout?": str,
    "key?": OrNull(str),
    "prefix?": str,
    "classes?": [str],
    "beside?": dict,
}
OFFICIAL = "official"
_UNUSED = "unused/"


@dataclass(frozen=True)
class Origin:
    """How the file was that weights came from.

    network: its name here.  layout: "official" or one of the network's others.
    key, prefix: where the file held the tensors and what it put before every name.
    names: the tensors in the file's order.  classes: names of a run's classes, in order.
    beside: what else the file held, as `plain_entries` has it.
    """

    network: str
    layout: str = OFFICIAL
    key: str | None = None
    prefix: str = ""
    names: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    beside: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Converted:
    """Our variables (nested, arrays in the dtype they were published in), the tensors that nothing
    uses, and where they came from."""

    variables: dict[str, Any]
    unused: FlatArrays
    origin: Origin


def from_file(path: str | Path, network: OfficialModel) -> Converted:
    """Read an official file. InputError lists all tensors missing, left over or misshapen."""
    return from_checkpoint(read_checkpoint(path), network, str(path))


def from_checkpoint(file: CheckpointFile, network: OfficialModel, source: str) -> Converted:
    """The same for a file already read; `source` names it in errors."""
    tensors, origin = official_tensors(file, network)
    variables, unused = to_variables(tensors, network.entries, source)
    return Converted(variables, unused, origin)


def official_tensors(file: CheckpointFile, network: OfficialModel) -> tuple[FlatArrays, Origin]:
    """A file's tensors by the names of the network's official layout; what has no place there keeps
    its own."""
    layout, tensors = OFFICIAL, file.tensors
    for name, other in network.layouts.items():
        if other.recognise(tensors):
            layout = name
            tensors = other.to_official(tensors, [entry.name for entry in network.entries])
    others = {name: value for name, value in file.rest.items() if name not in KEYS}
    names, beside = tuple(file.tensors), plain_entries.to_json(others)
    return tensors, Origin(network.name, layout, file.key, file.prefix, names, beside=beside)


def from_run(
    variables: Mapping[str, Any],
    network: OfficialModel,
    source: str,
    initial: tuple[FlatArrays, Origin] | None = None,
) -> Converted:
    """A trained run's variables as those of an official network, ready for `to_file`.

    initial: the official tensors that the run started from, and how their file was. Training does
    not touch what nothing uses, so those tensors come from there, or from the network where their
    values are known; InputError lists those that neither has. The file to come is laid out as the
    initial one if that held the same tensors.
    """
    mine = part_of_network(variables, network)
    check_shapes(mine, network, source)
    tensors, origin = initial or ({}, Origin(network.name))
    unused: FlatArrays = {}
    lacking = []
    for entry in network.entries:
        if entry.path is not None:
            continue
        found = tensors.get(entry.name)
        if found is not None and found.shape == entry.shape:
            unused[entry.name] = found
        elif entry.value is not None:
            unused[entry.name] = np.asarray(entry.value, entry.dtype)
        elif not entry.optional:
            lacking.append(entry.name)
    if lacking:
        more = f" and {len(lacking) - 6} more" if len(lacking) > 6 else ""
        raise InputError(
            f"{source}: lacks {', '.join(lacking[:6])}{more} of {network.name}'s official files, "
            "which training does not touch: give such a file with --initial"
        )
    names = {entry.name for entry in network.entries}
    if set(tensors) != names:
        origin = Origin(network.name)
    # What the initial file says of its own training is not this run's.
    return Converted(mine, unused, replace(origin, beside={}))


def part_of_network(variables: Mapping[str, Any], network: OfficialModel) -> dict[str, Any]:
    """The part of a run's variables that an official network is.

    A run may hold it below a name ("planner"), and beside it modules (a teacher) and collections (a
    memory) that the network does not know: they are left out. Nothing is left out of a module that
    the network knows.
    """
    wanted = our_shapes(network.entries).keys()
    flat = flatten(variables)
    known = {tuple(path.split("/")[:2]) for path in wanted}
    modules = sorted({path.split("/")[1] for path in flat if path.startswith("params/")})
    for below in ("", *(f"{module}/" for module in modules)):
        part = {}
        for path, leaf in flat.items():
            collection, _, name = path.partition("/")
            ours = f"{collection}/{name.removeprefix(below)}"
            if name.startswith(below) and tuple(ours.split("/")[:2]) in known:
                part[ours] = leaf
        if wanted <= part.keys():
            return unflatten(part)
    return {name: tree for name, tree in variables.items() if name in {c for c, _ in known}}


def to_file(
    path: str | Path, converted: Converted, network: OfficialModel, layout: str | None = None
) -> None:
    """Write an official file (.safetensors, or else `torch.save`'s format).

    layout: "official" or another that the network has; None for that of the file it came from,
    then also wrapped and ordered as that file was, beside the same plain entries.
    """
    origin = converted.origin
    tensors = to_state_dict(converted.variables, network.entries, converted.unused)
    chosen = layout or origin.layout
    if chosen != OFFICIAL:
        if chosen not in network.layouts:
            known = (OFFICIAL, *network.layouts)
            raise InputError(f"layout {chosen!r} of {network.name}{nearest(chosen, known)}")
        tensors = network.layouts[chosen].from_official(tensors)
    if layout is not None:
        write_checkpoint(path, tensors)
        return
    if set(origin.names) == set(tensors):
        tensors = {name: tensors[name] for name in origin.names}
    beside = plain_entries.from_json(origin.beside)
    write_checkpoint(path, tensors, origin.key, origin.prefix, beside=beside)


def save(folder: str | Path, converted: Converted) -> None:
    """Write the folder; the record comes last, so a folder with a record is whole."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORD).unlink(missing_ok=True)
    flat = dict(flatten(converted.variables))
    flat |= {_UNUSED + name: array for name, array in converted.unused.items()}
    write_safetensors(folder / VARIABLES, flat)
    (folder / RECORD).write_text(json.dumps(asdict(converted.origin), indent=1))


def is_converted(folder: str | Path) -> bool:
    """Whether `folder` is one that `save` wrote in full."""
    return (Path(folder) / RECORD).is_file()


def load(folder: str | Path) -> Converted:
    """Read the folder that `save` wrote. Arrays are views of the mapped file."""
    folder = Path(folder)
    if not is_converted(folder):
        raise InputError(f"{folder}: no converted weights there (no {RECORD})")
    record = read_json(folder / RECORD, ORIGIN)
    plain_entries.from_json(record.get("beside", {}), f"{folder / RECORD}: beside")
    origin = Origin(**{key: record[key] for key in record if key in Origin.__dataclass_fields__})
    names, classes = tuple(record["names"]), tuple(record.get("classes", ()))
    origin = replace(origin, names=names, classes=classes)
    arrays, _ = read_safetensors(folder / VARIABLES)
    unused = {
        name.removeprefix(_UNUSED): array
        for name, array in arrays.items()
        if name.startswith(_UNUSED)
    }
    variables = {name: a for name, a in arrays.items() if not name.startswith(_UNUSED)}
    return Converted(unflatten(variables), unused, origin)


def our_shapes(entries: Iterable[Entry]) -> dict[str, tuple[int, ...]]:
    """The shape of every leaf of ours that entries fill, by path."""
    shapes: dict[str, tuple[int, ...]] = {}
    for entry in entries:
        if entry.path is None:
            continue
        rows: tuple[int, ...] = ()
        if entry.layer is not None:
            layer = entry.layer if isinstance(entry.layer, tuple) else (entry.layer,)
            rows = tuple(index + 1 for index in layer)
        if entry.path in shapes:
            known = shapes[entry.path]
            grown = tuple(max(pair) for pair in zip(rows, known, strict=False))
            shapes[entry.path] = grown + known[len(rows) :]
        else:
            # A layout moves elements, whatever they are: one zero seen from everywhere will do.
            shapes[entry.path] = rows + entry.layout.ours(np.broadcast_to(0, entry.shape)).shape
    return shapes


def check_shapes(variables: Mapping[str, Any], network: OfficialModel, source: str) -> None:
    """InputError where our variables are not the network's: missing, left over, misshapen."""
    wanted = our_shapes(network.entries)
    found = {path: tuple(leaf.shape) for path, leaf in flatten(variables).items()}
    problems = [
        *(f"{path} is missing" for path in wanted if path not in found),
        *(f"{path} is left over" for path in found if path not in wanted),
        *(
            f"{path} {found[path]} for {shape}"
            for path, shape in wanted.items()
            if path in found and found[path] != shape
        ),
    ]
    if problems:
        more = f"; and {len(problems) - 6} more" if len(problems) > 6 else ""
        raise InputError(f"{source}: no weights of {network.name}: {'; '.join(problems[:6])}{more}")


def computable(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Variables with every float in float32, as our modules keep parameters."""

    def as_float32(array: np.ndarray) -> np.ndarray:
        if array.dtype.kind in "iub":
            return array
        return np.asarray(array, np.float32)

    return unflatten({path: as_float32(np.asarray(a)) for path, a in flatten(variables).items()})
