"""One scan: points and, where known, a raw label for each. Reading checks what networks need."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxvision.errors import InputError


@dataclass(frozen=True)
class Scan:
    """points: x, y, z (m) and reflectance, float32.  labels: raw ids, or None where unlabelled.
    valid: which of the file's points these are; None for all.  origin: x, y, z (m) of the file that
    is 0, 0, 0 here."""

    points: Float[np.ndarray, "n 4"]
    labels: Int[np.ndarray, " n"] | None = None
    valid: Bool[np.ndarray, " rows"] | None = None
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def in_file(self, values: Int[np.ndarray, " n"]) -> Int[np.ndarray, " rows"]:
        """One of `values` for every point of the file, 0 for those that were left out."""
        if self.valid is None:
            return values
        rows = np.zeros(len(self.valid), values.dtype)
        rows[self.valid] = values
        return rows


def read_floats(path: Path, columns: int) -> Float[np.ndarray, "n {columns}"]:
    """Rows of `columns` float32 values. InputError for a file cut short, empty, or not finite."""
    return check_points(read_rows(path, columns), path)


def read_rows(path: Path, columns: int) -> Float[np.ndarray, "n {columns}"]:
    """Rows of `columns` float32 values, whatever they are. InputError for a file cut short."""
    data = read_bytes(path)
    row = 4 * columns
    if len(data) % row:
        raise InputError(
            f"{path}: {len(data)} bytes; expected a multiple of {row} ({columns} float32 a point)"
        )
    return np.frombuffer(data, "<f4").reshape(-1, columns).copy()


def check_points(points: Float[np.ndarray, "n c"], path: Path) -> Float[np.ndarray, "n c"]:
    """InputError where there is no point, or one with a coordinate that is NaN or infinite."""
    if not len(points):
        raise InputError(f"{path}: an empty scan; expected at least one point")
    bad = ~np.isfinite(points).all(axis=1)
    if bad.any():
        raise InputError(
            f"{path}: {int(bad.sum())} of {len(points)} points are NaN or infinite, the first at "
            f"row {int(bad.argmax())}"
        )
    return points


def read_integers(path: Path, dtype: str, count: int) -> Int[np.ndarray, " n"]:
    """One integer per point. InputError where their number is not `count`."""
    data = read_bytes(path)
    size = np.dtype(dtype).itemsize
    if len(data) != size * count:
        raise InputError(f"{path}: {len(data) / size:g} labels; expected {count}, one a point")
    return np.frombuffer(data, dtype)


def read_bytes(path: Path) -> bytes:
    """A whole file; InputError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def points_in_range(
    points: Float[np.ndarray, "n c"], extent: tuple[float, ...]
) -> Bool[np.ndarray, " n"]:
    """Which points lie inside x, y, z minimum and maximum (m); all of them where it is empty."""
    if not extent:
        return np.ones(len(points), bool)
    if len(extent) != 6:
        raise InputError(f"data.range {tuple(extent)}: expected six numbers, minima then maxima")
    low, high = np.array(extent[:3]), np.array(extent[3:])
    return np.all((points[:, :3] >= low) & (points[:, :3] < high), axis=1)


def crop_to_range(scan: Scan, extent: tuple[float, ...], name: str) -> Scan:
    """The points inside an extent; InputError where none is left."""
    inside = points_in_range(scan.points, extent)
    if not inside.any():
        raise InputError(f"{name}: no point inside the range {tuple(extent)}")
    return Scan(scan.points[inside], None if scan.labels is None else scan.labels[inside])
