"""SemanticKITTI in its official layout: `sequences/SS/{velodyne,labels,predictions}/FFFFFF.*`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from jaxvision.data.lidar.scan import Scan, read_floats, read_integers
from jaxvision.errors import InputError, check_choice
from jaxvision.text_files import number, read_lines

SEQUENCES = {
    "train": (0, 1, 2, 3, 4, 5, 6, 7, 9, 10),
    "val": (8,),
    "trainval": tuple(range(11)),
    "test": tuple(range(11, 22)),
}


@dataclass(frozen=True)
class SemanticKitti:
    """The scans of some sequences, in order."""

    root: Path
    frames: tuple[tuple[str, str], ...]
    labelled: bool = True

    @classmethod
    def open(cls, root: Path, sequences: Sequence[int], labelled: bool = True) -> "SemanticKitti":
        """Every scan of the sequences. root: holds `sequences`. InputError where there is none."""
        frames = [
            (f"{number:02d}", file.stem)
            for number in sequences
            for file in sorted((root / "sequences" / f"{number:02d}" / "velodyne").glob("*.bin"))
        ]
        if not frames:
            named = ", ".join(f"{n:02d}" for n in sequences)
            raise InputError(f"{root}/sequences: no velodyne/*.bin in sequences {named}")
        return cls(root, tuple(frames), labelled)

    @classmethod
    def split(cls, root: Path, name: str) -> "SemanticKitti":
        """A published split by name: train, val, trainval, test (which has no labels)."""
        check_choice("split", name, SEQUENCES)
        return cls.open(root, SEQUENCES[name], name != "test")

    def __len__(self) -> int:
        return len(self.frames)

    def name(self, index: int) -> str:
        return str(self._file(index, "velodyne", ".bin"))

    def __getitem__(self, index: int) -> Scan:
        points = read_floats(self._file(index, "velodyne", ".bin"), 4)
        if not self.labelled:
            return Scan(points)
        file = self._file(index, "labels", ".label")
        return Scan(points, semantic_ids(read_integers(file, "<u4", len(points))))

    def _file(self, index: int, folder: str, suffix: str) -> Path:
        sequence, frame = self.frames[index]
        return self.root / "sequences" / sequence / folder / (frame + suffix)


def semantic_ids(stored: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The semantic half (low 16 bits) of stored labels."""
    return (stored & 0xFFFF).astype(np.int32)


def read_calibration(path: Path) -> dict[str, Float[np.ndarray, "4 4"]]:
    """`calib.txt`: matrices by name (P0 to P3, Tr), completed to 4x4."""
    found = {}
    for line in _lines(path):
        name, _, numbers = line.partition(":")
        if name.strip() in found:
            raise InputError(f"{path}: matrix {name.strip()!r} comes twice")
        found[name.strip()] = _matrix(numbers, path)
    return found


def lidar_poses(sequence: Path) -> Float[np.ndarray, "t 4 4"]:
    """The sensor's pose at every scan: inv(Tr) pose Tr, from `poses.txt` and `calib.txt`.

    InputError where a file or `Tr` is missing.
    """
    calibration = read_calibration(sequence / "calib.txt")
    if "Tr" not in calibration:
        raise InputError(f"{sequence / 'calib.txt'}: no matrix Tr, found {', '.join(calibration)}")
    to_camera = calibration["Tr"]
    if not np.linalg.det(to_camera):
        raise InputError(f"{sequence / 'calib.txt'}: the matrix Tr has no inverse")
    path = sequence / "poses.txt"
    cameras = [_matrix(line, path) for line in _lines(path)]
    if not cameras:
        raise InputError(f"{path}: no poses in it")
    return np.stack([np.linalg.inv(to_camera) @ camera @ to_camera for camera in cameras])


def _lines(path: Path) -> list[str]:
    return [line for line in read_lines(path) if line.strip()]


def _matrix(text: str, path: Path) -> Float[np.ndarray, "4 4"]:
    words = text.split()
    numbers = [value for value in map(number, words) if value is not None]
    if len(words) != 12 or len(numbers) != 12:
        raise InputError(f"{path}: {text.strip()[:40]!r}; expected 12 numbers (3x4, by rows)")
    return np.vstack([np.reshape(numbers, (3, 4)), [0, 0, 0, 1]])
