"""A user's own scans: `.bin` (float32 x, y, z, reflectance) or `.ply`, labels beside them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int
from numpy.lib import recfunctions

from jaxvision.data.folders import files_below
from jaxvision.data.lidar.ply import read_ply, write_ply
from jaxvision.data.lidar.scan import Scan, read_integers, read_rows
from jaxvision.data.lidar.scan_format import (
    PLAIN,
    ScanFormat,
    near_origin,
    warn_without_intensity,
)
from jaxvision.data.lidar.semantic_kitti import semantic_ids
from jaxvision.data.source import FileRecords
from jaxvision.errors import InputError

SUFFIXES = (".bin", ".ply")
# Names of properties, in small letters and without what CloudCompare puts before them.
REFLECTANCE = ("reflectance", "intensity", "remission", "reflectivity")
LABELS = ("label", "classification", "class")
SCALAR = "scalar_"
# How scans of other kinds become one that is read.
CONVERSIONS = {
    ".npy": "save it as .bin: numpy.load(FILE).astype('<f4').tofile('NAME.bin')",
    ".pcd": "save it as .ply, with CloudCompare or open3d.io.write_point_cloud",
    ".las": "save it as .ply, with CloudCompare or pdal translate",
    ".laz": "save it as .ply, with CloudCompare or pdal translate",
}


def no_scans(where: Path, paths: Iterable[Path]) -> InputError:
    """What to say of `where`, whose `paths` are no scans: how one of another kind is converted."""
    for path in paths:
        if path.suffix.lower() in CONVERSIONS:
            hint = CONVERSIONS[path.suffix.lower()]
            return InputError(f"{path}: expected a .bin or .ply scan; {hint}")
    return InputError(f"{where}: expected .bin or .ply scans")


def scan_files(folder: Path) -> tuple[Path, ...]:
    """Every scan below a folder, by name, hidden ones left out. InputError where there is none."""
    files = files_below(folder, SUFFIXES).files
    if not files:
        raise no_scans(folder, sorted(folder.rglob("*")))
    return files


@dataclass(frozen=True)
class OwnScans(FileRecords):
    """Scans of a folder, by name. A `.bin` has its labels in `NAME.label` (uint32) beside it, a
    `.ply` in its property `label`."""

    paths: tuple[Path, ...]
    labelled: bool = True
    form: ScanFormat = PLAIN

    @classmethod
    def open(cls, folder: Path, labelled: bool = True, form: ScanFormat = PLAIN) -> "OwnScans":
        """form: of the files; of a `.bin` point the first four values are read."""
        return cls(scan_files(folder), labelled, form)

    def __getitem__(self, index: int) -> Scan:
        return read_scan(self.paths[index], self.labelled, self.form)


def read_scan(path: Path, labelled: bool = False, form: ScanFormat = PLAIN) -> Scan:
    """One `.bin` or `.ply` file. InputError where it, or labels that are asked for, are missing,
    and where it is not of the `form`."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise no_scans(path, [path])
    xyz, strength, labels = (_read_bin if suffix == ".bin" else _read_ply)(path, labelled, form)
    valid = form.valid(np.column_stack([xyz, strength]), path)
    near, origin = near_origin(xyz[valid], path)
    points = np.column_stack([near, strength[valid].astype(np.float32)])
    form.check_intensity(points[:, 3], path)
    whole = bool(valid.all())
    if labels is not None and not whole:
        labels = labels[valid]
    return Scan(points, labels, None if whole else valid, origin)


# x, y, z as stored, reflectance, and raw labels where they are asked for.
Columns = tuple[np.ndarray, np.ndarray, np.ndarray | None]


def _read_bin(path: Path, labelled: bool, form: ScanFormat) -> Columns:
    values = read_rows(path, form.columns)
    form.check_columns(values, path)
    labels = None
    if labelled:
        labels = semantic_ids(read_integers(path.with_suffix(".label"), "<u4", len(values)))
    return values[:, :3], values[:, 3], labels


def _read_ply(path: Path, labelled: bool, form: ScanFormat) -> Columns:
    table = read_ply(path)
    stored = table.dtype.names or ()
    names = {name.lower().removeprefix(SCALAR): name for name in reversed(stored)}
    lacking = [axis for axis in "xyz" if axis not in names]
    if lacking:
        raise InputError(f"{path}: no property {', '.join(lacking)} among {', '.join(names)}")
    strengths = [table[names[name]] for name in REFLECTANCE if name in names]
    if not strengths:
        warn_without_intensity(path, stored)
    strength = strengths[0] if strengths else np.zeros(len(table), np.float32)
    xyz = np.stack([table[names[axis]] for axis in "xyz"], axis=1)
    if not labelled:
        return xyz, strength, None
    found = next((table[names[name]] for name in LABELS if name in names), None)
    if found is None:
        raise InputError(f"{path}: no property label among {', '.join(names)}")
    whole = np.isfinite(found) & (found == np.floor(found)) & (np.abs(found) < 2**31)
    if not whole.all():
        row = int(np.argmin(whole))
        raise InputError(f"{path}: label {found[row]} at row {row}; expected a whole number")
    return xyz, strength, found.astype(np.int32)


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
