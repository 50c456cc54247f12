"""A user's own scans: `.bin` (float32 x, y, z, reflectance) or `.ply`, labels beside them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int
from numpy.lib import recfunctions

from jaxvision.data.lidar.ply import read_ply, write_ply
from jaxvision.data.lidar.scan import Scan, check_points, read_floats, read_integers
from jaxvision.data.lidar.semantic_kitti import semantic_ids
from jaxvision.errors import InputError

SUFFIXES = (".bin", ".ply")
REFLECTANCE = ("reflectance", "intensity", "remission", "scalar_Intensity")
LABELS = ("label", "classification", "class", "scalar_Label")


def only_scans(paths: Iterable[Path]) -> list[Path]:
    """Those of `paths` that are named like scans."""
    return [path for path in paths if path.suffix.lower() in SUFFIXES]


def scan_files(folder: Path) -> tuple[Path, ...]:
    """Every scan below a folder, by name. InputError where there is none."""
    files = sorted(only_scans(folder.rglob("*")))
    if not files:
        raise InputError(f"{folder}: no .bin or .ply scan in it")
    return tuple(files)


@dataclass(frozen=True)
class OwnScans:
    """Scans of a folder, by name. A `.bin` has its labels in `NAME.label` (uint32) beside it, a
    `.ply` in its property `label`."""

    files: tuple[Path, ...]
    labelled: bool = True
    columns: int = 4

    @classmethod
    def open(cls, folder: Path, labelled: bool = True, columns: int = 4) -> "OwnScans":
        """columns: float32 values of a `.bin` point; the first four are read."""
        return cls(scan_files(folder), labelled, columns)

    def __len__(self) -> int:
        return len(self.files)

    def name(self, index: int) -> str:
        return str(self.files[index])

    def __getitem__(self, index: int) -> Scan:
        return read_scan(self.files[index], self.labelled, self.columns)


def read_scan(path: Path, labelled: bool = False, columns: int = 4) -> Scan:
    """One `.bin` or `.ply` file. InputError where it, or labels that are asked for, are missing."""
    if path.suffix.lower() == ".bin":
        points = read_floats(path, columns)[:, :4].copy()
        if not labelled:
            return Scan(points)
        stored = read_integers(path.with_suffix(".label"), "<u4", len(points))
        return Scan(points, semantic_ids(stored))
    if path.suffix.lower() != ".ply":
        raise InputError(f"{path}: expected a .bin or .ply scan")
    table = read_ply(path)
    names = table.dtype.names or ()
    lacking = [axis for axis in "xyz" if axis not in names]
    if lacking:
        raise InputError(f"{path}: no property {', '.join(lacking)} among {', '.join(names)}")
    zeros = np.zeros(len(table), np.float32)
    strength = next((table[name] for name in REFLECTANCE if name in names), zeros)
    columns_read = [table["x"], table["y"], table["z"], strength]
    points = check_points(np.stack(columns_read, axis=1).astype(np.float32), path)
    if not labelled:
        return Scan(points)
    found = next((table[name] for name in LABELS if name in names), None)
    if found is None:
        raise InputError(f"{path}: no property label among {', '.join(names)}")
    whole = np.isfinite(found) & (found == np.floor(found)) & (np.abs(found) < 2**31)
    if not whole.all():
        row = int(np.argmin(whole))
        raise InputError(f"{path}: label {found[row]} at row {row}; expected a whole number")
    return Scan(points, found.astype(np.int32))


def write_prediction(source: Path, raw_ids: Int[np.ndarray, " n"], target: Path) -> Path:
    """Predicted raw ids in the input's own format: a `.label` for a `.bin`; for a `.ply` the same
    points with the property `label`. target: without suffix."""
    if source.suffix.lower() == ".bin":
        file = target.with_name(f"{target.name}.label")
        file.write_bytes(raw_ids.astype("<u4").tobytes())
        return file
    table = read_ply(source)
    kept = [name for name in table.dtype.names or () if name != "label"]
    labelled = recfunctions.append_fields(
        recfunctions.repack_fields(table[kept]), "label", raw_ids.astype("<i4"), usemask=False
    )
    file = target.with_name(f"{target.name}.ply")
    write_ply(file, np.asarray(labelled))
    return file
