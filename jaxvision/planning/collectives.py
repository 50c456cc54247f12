"""The collectives of a compiled program: which mesh axes each crosses, how many bytes it moves."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jax.sharding import Mesh

from jaxvision.planning.hlo import Array, Instruction, Module

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
CHAIN = re.compile(r'chain_id="(\d+)"')
BETWEEN_SLICES = re.compile(r'_xla_megascale_transfer_type="(\w+)"')
MESH = re.compile(
    r"replica_groups=mesh\[([^\]]*)\](?:, device_ids=\(\[([\d,]+)\]T\(([\d,]+)\)\))? \{([^}]*)\}"
)
IOTA = re.compile(r"\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?")


@dataclass(frozen=True, kw_only=True)
class Collective:
    """All runs of one kind of collective over the same axes, of the same dtype.

    count: runs in a step.  bytes: of the whole arrays, summed over runs.  moved: bytes that each
    chip sends, by the bandwidth-optimal ring.  crossing: bytes of those that leave a slice or node.
    """

    kind: str
    axes: tuple[str, ...]
    dtype: str
    count: float
    bytes: float
    moved: float
    crossing: float = 0.0


def collectives(module: Module, mesh: Mesh) -> list[Collective]:
    """What a program compiled for `mesh` sends, largest first."""
    # Of one kind, axes and dtype: runs, bytes of the arrays, bytes sent, bytes that leave a slice.
    totals: dict[tuple, np.ndarray] = defaultdict(lambda: np.zeros(4))

    # 1. Which slice each device is of.
    slices = slice_numbers(mesh)
    count = len(set(slices.tolist()))
    if count > 1 and mesh.devices.flat[0].platform == "tpu":
        # Every TPU slice runs a program of its own, which knows the slice's chips alone.
        mesh, slices = first_slice(mesh, count), np.zeros(mesh.devices.size // count, int)
    seen: set[str] = set()
    for instruction, computation, times in module.running():
        # 2. Between slices a TPU's program sends arrays itself; the attribute names what for.
        kind = instruction.opcode.removesuffix("-start")
        if kind == "send":
            between = BETWEEN_SLICES.search(instruction.attributes)
            if between:
                payload = instruction.arrays[0]
                kind = between[1].lower().replace("_", "-")
                sent = payload.bytes * crossings(kind, count)
                added = np.array([1.0, payload.bytes, sent, sent])
                totals[kind, ("slices",), payload.dtype] += times * added
        if kind not in KINDS or instruction.opcode == "send":
            continue
        # 3. The TPU's compiler spreads one collective over several fusions, which share a number.
        chain = CHAIN.search(instruction.attributes)
        if chain and chain[1] in seen:
            continue
        seen.update(chain.groups() if chain else ())
        # 4. Who talks with whom; a group of one sends nothing.
        groups = groups_of(instruction, mesh.devices.size)
        size = len(groups[0])
        if size == 1:
            continue
        # 5. How much: of the whole array, by each member, and out of its slice.
        data = transferred(instruction)
        whole, moved = volume(kind, sum(part.bytes for part in data), size)
        if kind == "all-reduce" and computation.startswith("all-reduce-scatter"):
            kind, moved = "reduce-scatter", moved / 2  # what follows in the fusion keeps one part
        crossing = moved * crossing_share(kind, groups, slices)
        added = np.array([1.0, whole, moved, crossing])
        totals[kind, axes_of(groups, mesh), data[0].dtype] += times * added
    found = [
        Collective(
            kind=kind,
            axes=axes,
            dtype=dtype,
            count=float(runs),
            bytes=float(size),
            moved=float(moved),
            crossing=float(crossing),
        )
        for (kind, axes, dtype), (runs, size, moved, crossing) in totals.items()
    ]
    return sorted(found, key=lambda c: (-c.moved, c.kind, c.axes, c.dtype))


def transferred(instruction: Instruction) -> list[Array]:
    """The arrays a collective results in.

    One that is only started has the shape (inputs, results, numbers to wait by), where an
    all-reduce has its results alone.
    """
    data = instruction.arrays
    if instruction.opcode.endswith("-start") and instruction.shape.startswith("("):
        data = [part for part in data if part.sides] or data
        if not instruction.opcode.startswith("all-reduce"):
            data = data[len(data) // 2 :]
    return data


def volume(kind: str, out: float, size: int) -> tuple[float, float]:
    """(bytes of the whole array over a group, bytes each of its `size` members sends) where `out`
    is what one member ends with."""
    share = (size - 1) / size
    if kind == "all-reduce":
        return out, 2 * out * share
    if kind == "reduce-scatter":
        return out * size, out * size * share
    if kind == "collective-permute":
        return out, out
    return out, out * share


def groups_of(instruction: Instruction, devices: int) -> list[tuple[int, ...]]:
    """The groups of device numbers (places in the mesh) that talk among themselves."""
    if instruction.opcode.startswith("collective-permute"):
        pairs = re.findall(r"\{(\d+),(\d+)\}", instruction.attribute("source_target_pairs"))
        return [(int(a), int(b)) for a, b in pairs if a != b] or [(0,)]
    named = MESH.search(instruction.attributes)
    if named:
        order = np.arange(devices)
        if named[2]:
            order = order.reshape(_numbers(named[2])).transpose(_numbers(named[3])).ravel()
        return [tuple(order[list(group)].tolist()) for group in _by_axes(named[1], named[4])]
    text = re.search(r"replica_groups=(\S+?\]?(?:T\([\d,]+\))?)(?:, |$)", instruction.attributes)
    iota = IOTA.match(text[1]) if text else None
    if iota:
        shape, reshape = (_numbers(iota[n]) for n in (1, 2))
        order = np.arange(math.prod(reshape)).reshape(reshape)
        if iota[3]:
            order = order.transpose(_numbers(iota[3]))
        return [tuple(int(n) for n in row) for row in order.reshape(shape)]
    lists = re.findall(r"\{([\d,]+)\}", instruction.attribute("replica_groups"))
    if not lists and instruction.attribute("replica_groups") not in ("", "{}"):
        raise ValueError(f"groups written in a new way: {instruction.attributes[:200]}")
    return [tuple(_numbers(group)) for group in lists] or [tuple(range(devices))]


def _by_axes(axes: str, chosen: str) -> list[tuple[int, ...]]:
    """Groups of `mesh['a'=2,'b'=4] {'b'}`; `'b':(2)2` is the part of b after its first factor 2."""
    sizes = {name: int(size) for name, size in re.findall(r"'([^']+)'=(\d+)", axes)}
    parts: dict[str, list[tuple[int, int]]] = {name: [] for name in sizes}
    for name, before, size in re.findall(r"'([^']+)'(?::\((\d+)\)(\d+))?", chosen):
        parts[name].append((int(before or 1), int(size or sizes[name])))
    shape: list[int] = []
    inside: list[int] = []
    for name, size in sizes.items():
        left = 1
        for before, length in sorted(parts[name]):
            shape += [before // left, length]
            inside.append(len(shape) - 1)
            left = before * length
        shape.append(size // left)
    outside = [d for d in range(len(shape)) if d not in inside]
    order = np.arange(math.prod(shape)).reshape(shape).transpose(*outside, *inside)
    length = math.prod(shape[d] for d in inside)
    return [tuple(int(n) for n in row) for row in order.reshape(-1, length)]


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def axes_of(groups: Iterable[Sequence[int]], mesh: Mesh) -> tuple[str, ...]:
    """The mesh axes along which members of a group differ."""
    shape = mesh.devices.shape
    differs = np.zeros(len(shape), bool)
    for group in groups:
        places = np.stack(np.unravel_index(np.asarray(group), shape))
        differs |= np.any(places != places[:, :1], axis=1)
    return tuple(name for name, d in zip(mesh.axis_names, differs, strict=True) if d)


def slice_numbers(mesh: Mesh) -> np.ndarray:
    """The slice (or node) of every device of the mesh, in the mesh's order."""
    return np.array([slice_of(device) for device in mesh.devices.flat])


def slice_of(device) -> int:
    if device.platform == "tpu":
        return getattr(device, "slice_index", 0) or 0
    return device.process_index


def first_slice(mesh: Mesh, count: int) -> Mesh:
    """The part of the mesh that one slice holds: `make_mesh` joins slices along the first axis."""
    part = mesh.devices[: mesh.devices.shape[0] // count]
    return Mesh(part, mesh.axis_names)


def crossings(kind: str, count: int) -> float:
    """How often a chip's array crosses between `count` slices, by the bandwidth-optimal ring."""
    return {"all-reduce": 2 * (count - 1) / count, "all-gather": count - 1}.get(kind, 1.0)


def crossing_share(kind: str, groups: Sequence[Sequence[int]], slices: np.ndarray) -> float:
    """Of the bytes a chip sends, the share that leaves its slice.

    A group over s slices of m members each works inside the slices first, so that only 1/m of the
    array crosses: (s-1)/s of it, against (s m - 1)/(s m) sent in all.
    """
    members = slices[np.asarray(groups[0])]
    count = len(set(members.tolist()))
    if kind == "collective-permute":
        return float(np.mean([len(set(slices[list(pair)].tolist())) > 1 for pair in groups]))
    if count < 2:
        return 0.0
    size = len(members)
    inside = size / count
    return ((count - 1) / count / inside) / ((size - 1) / size)
