"""Point clouds in PLY files: ascii and binary, one number per property."""

from pathlib import Path

import numpy as np

from jaxvision.data.lidar.scan import read_bytes
from jaxvision.errors import InputError
from jaxvision.text_files import integer

# Both names of each type; the first is written.
NAMES = {
    "i1": ("char", "int8"),
    "u1": ("uchar", "uint8"),
    "i2": ("short", "int16"),
    "u2": ("ushort", "uint16"),
    "i4": ("int", "int32"),
    "u4": ("uint", "uint32"),
    "f4": ("float", "float32"),
    "f8": ("double", "float64"),
}
TYPES = {name: code for code, names in NAMES.items() for name in names}
ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "<"}


def read_ply(path: Path) -> np.ndarray:
    """The vertices as a structured array, one field per property; later elements are left out.

    InputError for a broken header, a list property among the vertices, or a file cut short.
    """
    data = read_bytes(path)
    header, mark, body = data.partition(b"end_header\n")
    if not data.startswith(b"ply") or not mark:
        header, mark, body = data.partition(b"end_header\r\n")
    if not data.startswith(b"ply") or not mark:
        raise InputError(f"{path}: not a PLY file (no ply ... end_header)")
    form, count, fields = _parse(header.decode("ascii", "replace"), path)
    kind = np.dtype([(name, ORDERS[form] + code) for name, code in fields])
    if form == "ascii":
        words = body.split()[: count * len(fields)]
        if len(words) < count * len(fields):
            raise InputError(f"{path}: {len(words)} numbers; expected {count} x {len(fields)}")
        try:
            if b"_" in body and any(b"_" in word for word in words):
                raise ValueError("a number with _ in it")  # as Python's may be written
            rows = np.array(words, np.float64).reshape(count, len(fields))
        except ValueError as error:
            raise InputError(f"{path}: points that are no numbers ({error})") from None
        table = np.empty(count, kind)
        for column, (name, code) in enumerate(fields):
            table[name] = _fitting(rows[:, column], code, f"{path}: property {name}")
        return table
    if len(body) < count * kind.itemsize:
        raise InputError(f"{path}: {len(body)} bytes of points; expected {count} x {kind.itemsize}")
    return np.frombuffer(body, kind, count)


def _parse(header: str, path: Path) -> tuple[str, int, list[tuple[str, str]]]:
    form, count, element = "", -1, ""
    fields: list[tuple[str, str]] = []
    names: set[str] = set()
    for line in header.splitlines():
        words = line.split()
        if not words or words[0] in ("ply", "comment", "obj_info"):
            continue
        if words[0] == "format" and len(words) >= 2:
            form = words[1]
        elif words[0] == "element" and len(words) == 3:
            element = words[1]
            if element == "vertex":
                count = -1 if count >= 0 else integer(words[2]) or 0
            elif count < 0:
                raise InputError(f"{path}: element {element} before vertex; expected vertex first")
        elif words[0] == "property" and element == "vertex":
            if len(words) != 3 or words[1] not in TYPES:
                raise InputError(f"{path}: {line.strip()!r}; expected property TYPE NAME")
            if words[2] in names:
                raise InputError(f"{path}: property {words[2]!r} comes twice")
            names.add(words[2])
            fields.append((words[2], TYPES[words[1]]))
    if form not in ORDERS or count < 1 or not fields:
        raise InputError(f"{path}: no known format or no vertices in its header")
    return form, count, fields


def _fitting(values: np.ndarray, code: str, where: str) -> np.ndarray:
    """`values`, or InputError for one that a type of the file cannot hold."""
    kind = np.dtype(code)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        wrong = ~((values >= limits.min) & (values <= limits.max) & (values == np.floor(values)))
        if wrong.any():
            row = int(wrong.argmax())
            raise InputError(f"{where}: {values[row]:g} at row {row}; expected {kind.name}")
    else:
        wrong = np.isfinite(values) & (np.abs(values) > np.finfo(kind).max)
        if wrong.any():
            row = int(wrong.argmax())
            raise InputError(f"{where}: {values[row]:g} at row {row} is too large for {kind.name}")
    return values


def write_ply(path: Path, table: np.ndarray) -> None:
    """Vertices as binary little-endian PLY, one property per field."""
    assert table.dtype.names is not None
    kinds = {name: table.dtype[name].str[1:] for name in table.dtype.names}
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(table)}"]
    lines += [f"property {NAMES[kind][0]} {name}" for name, kind in kinds.items()]
    little = table.astype([(name, f"<{kind}") for name, kind in kinds.items()])
    path.write_bytes("\n".join([*lines, "end_header\n"]).encode() + little.tobytes())
