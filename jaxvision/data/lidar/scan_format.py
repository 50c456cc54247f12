"""What a recipe expects of scan files, and what is made of one that is not so."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from ml_collections import ConfigDict

from jaxvision.data.conversions import note
from jaxvision.data.lidar.scan import check_points
from jaxvision.errors import InputError

# No sensor sees farther (m): a scan whose middle lies beyond stands in a map's coordinates.
FARTHEST = 1000.0
# Numbers of columns that scanners and data sets write, and the fewest points that tell them apart.
COLUMNS, ENOUGH = (4, 5, 6), 32


class ScanWarning(UserWarning):
    """A scan was read, but is not as the recipe expects."""


@dataclass(frozen=True)
class ScanFormat:
    """columns: float32 values of a point in a `.bin`.  intensity: largest one expected (1 or 255);
    0 expects nothing.  drop_invalid: leave points out that are NaN or infinite, as sensors give
    them where nothing came back, instead of refusing the scan."""

    columns: int = 4
    intensity: float = 0.0
    drop_invalid: bool = False

    @classmethod
    def of_config(cls, data: ConfigDict) -> "ScanFormat":
        """From a recipe's `data` table."""
        return cls(data.columns, data.get("intensity", 0.0), data.get("drop_invalid", False))

    def valid(self, points: Float[np.ndarray, "n c"], path: Path) -> Bool[np.ndarray, " n"]:
        """Which points are to be used. InputError where none is, or where one is not finite and
        `drop_invalid` is not set."""
        finite = np.isfinite(points).all(axis=1)
        if not self.drop_invalid or not len(points):
            try:
                check_points(points, path)
            except InputError as error:
                hint = "; --config.data.drop_invalid=True leaves them out" if len(points) else ""
                raise InputError(f"{error}{hint}") from None
        elif not finite.any():
            raise InputError(f"{path}: all {len(points)} points are NaN or infinite")
        elif not finite.all():
            lost = len(points) - int(finite.sum())
            _warn(path, "points that are NaN or infinite left out", f"{lost} of {len(points)}")
        return finite

    def check_columns(self, rows: Float[np.ndarray, "n {self.columns}"], path: Path) -> None:
        """InputError where a file's intensities are negative as `columns` columns, and would not be
        with another number of them; a warning where they would be with any.  rows: the file as it
        was read."""
        if self._fits(rows):
            return
        for other in COLUMNS:
            if rows.size % other == 0 and self._fits(rows.reshape(-1, other)):
                raise InputError(
                    f"{path}: read as {self.columns} columns the fourth, intensity, is negative, "
                    f"as {other} it is not; expected data.columns={other}"
                )
        _warn(
            path,
            f"intensities below 0: does a point have {self.columns} float32 values (data.columns)?",
            f"down to {np.nanmin(rows[:, 3]):g}",
        )

    @staticmethod
    def _fits(values: Float[np.ndarray, "n c"]) -> bool:
        strength = values[:, 3]
        return len(values) < ENOUGH or not bool((strength[np.isfinite(strength)] < 0).any())

    def check_intensity(self, strength: Float[np.ndarray, " n"], path: Path) -> None:
        """Warns where intensities are of the other scale: 0 to 255 instead of 0 to 1, or back."""
        if not self.intensity or not len(strength):
            return
        high = float(strength.max())
        if high > 2 * self.intensity or (self.intensity > 2 and 0 < high <= 1):
            expected = f"expected 0 to {self.intensity:g} (data.intensity)"
            _warn(path, f"intensities of another scale: {expected}", f"up to {high:g}")


PLAIN = ScanFormat()


def warn_without_intensity(path: Path, names: Iterable[str]) -> None:
    """Warns of a file none of whose properties is an intensity."""
    _warn(path, "no intensity among its properties: 0 for all points", ", ".join(names))


def near_origin(
    xyz: Float[np.ndarray, "n 3"], path: Path
) -> tuple[Float[np.ndarray, "n 3"], tuple[float, float, float]]:
    """(points in float32, the place that was subtracted from them).

    Coordinates of a map (UTM) do not fit into float32. Where the middle of a scan is farther from
    0 than a sensor sees, it is subtracted in the file's own precision, in whole metres, with a
    warning: networks learn from points around their sensor.
    """
    middle = np.median(xyz, axis=0)
    if np.abs(middle).max() <= FARTHEST:
        return xyz.astype(np.float32), (0.0, 0.0, 0.0)
    origin = np.round(middle)
    x, y, z = origin.tolist()
    lost = "" if xyz.dtype.itemsize > 4 else ", but float32 has lost detail there"
    _warn(
        path,
        f"far from its sensor: the place it lies around was subtracted{lost}",
        f"x={x:.0f}, y={y:.0f}, z={z:.0f} m",
    )
    return (xyz - origin).astype(np.float32), (x, y, z)


def _warn(path: Path, kind: str, detail: str) -> None:
    """A note where many scans are read and told together, else a warning."""
    if not note(path, kind, detail):
        warnings.warn(f"{path}: {kind} ({detail})", ScanWarning, stacklevel=3)
