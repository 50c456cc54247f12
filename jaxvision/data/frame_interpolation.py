"""Frame interpolation's datasets in their owners' layouts.

A record is a dict of `frames`, uint8 [n, h, w, 3] in the channel order the benchmark feeds to
networks: BGR, as OpenCV reads images, except for the HD set (RGB). What the frames are is said by
each reader; every one names files that are missing before anything runs.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from jaxvision.data.folders import files_below
from jaxvision.data.picture_files import SUFFIXES, picture_size, read_picture
from jaxvision.data.sequence_names import first_and_last, gaps, in_order
from jaxvision.errors import InputError
from jaxvision.stores.stored_path import is_there, path_to
from jaxvision.text_files import read_lines

XIPH_CLIPS = (
    "BoxingPractice",
    "Crosswalk",
    "DrivingPOV",
    "FoodMarket",
    "FoodMarket2",
    "RitualDance",
    "SquareAndTimelapse",
    "Tango",
)
MIDDLEBURY_SEQUENCES = (
    "Beanbags",
    "Dimetrodon",
    "DogDance",
    "Grove2",
    "Grove3",
    "Hydrangea",
    "MiniCooper",
    "RubberWhale",
    "Urban2",
    "Urban3",
    "Venus",
    "Walking",
)
SNU_FILM_LEVELS = ("easy", "medium", "hard", "extreme")


def read_bgr(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """An image file as 8-bit BGR. InputError names a file that is no image."""
    return np.asarray(read_picture(path))[..., ::-1]


@dataclass(frozen=True)
class FrameFiles:
    """Records that are tuples of image files, e.g. (first, target, last)."""

    paths: Sequence[tuple[Path, ...]]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        images = [read_bgr(path) for path in self.paths[index]]
        for path, image in zip(self.paths[index], images, strict=True):
            if image.shape != images[0].shape:
                raise InputError(
                    f"{path}: {image.shape[1]}x{image.shape[0]}, but its neighbour "
                    f"{self.paths[index][0].name} has {images[0].shape[1]}x{images[0].shape[0]}"
                )
        return {"frames": np.stack(images)}

    def name(self, index: int) -> str:
        return str(self.paths[index][0])

    def size(self, index: int) -> tuple[int, int]:
        """(height, width) from the first file's header alone."""
        return picture_size(self.paths[index][0])


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise InputError(f"{path}: no such list")
    lines = [line.strip() for line in read_lines(path) if len(line.strip()) > 1]
    if not lines:
        raise InputError(f"{path}: an empty list")
    return lines


def _refuse_missing(folders: Iterable[Path], source: Path, what: str) -> None:
    missing = [path for path in folders if not is_there(path, folder=True)]
    if missing:
        raise InputError(f"{source}: {len(missing)} {what} are missing, the first is {missing[0]}")


def vimeo_triplets(root: Path, split: str) -> FrameFiles:
    """Vimeo90K triplets: (first, middle, last) of every line of tri_{train,test}list.txt."""
    return _vimeo(path_to(root), f"tri_{split}list.txt", 3)


def vimeo_septuplets(root: Path, split: str) -> FrameFiles:
    """Vimeo90K septuplets: seven consecutive frames of every line of sep_{train,test}list.txt."""
    return _vimeo(path_to(root), f"sep_{split}list.txt", 7)


def _vimeo(root: Path, listing: str, frames: int) -> FrameFiles:
    folders = [root / "sequences" / line for line in _lines(root / listing)]
    _refuse_missing(folders, root / listing, "listed folders")
    return FrameFiles(
        [tuple(f / f"im{number + 1}.png" for number in range(frames)) for f in folders]
    )


def ucf101(root: Path) -> FrameFiles:
    """UCF101's interpolation set: (first, target, last) of every folder in the root."""
    names = ("frame_00.png", "frame_01_gt.png", "frame_02.png")
    folders = sorted(path for path in path_to(root).glob("*") if path.is_dir())
    if not folders:
        raise InputError(f"{root}: no folders of frames there")
    paths = [tuple(folder / name for name in names) for folder in folders]
    _refuse_missing((p for row in paths for p in row), path_to(root), "frames")
    return FrameFiles(paths)


def snu_film(root: Path, level: str) -> FrameFiles:
    """SNU-FILM: the (first, target, last) of every line of test-{level}.txt."""
    listing = path_to(root) / f"test-{level}.txt"
    paths = []
    for number, line in enumerate(_lines(listing), 1):
        names = line.split()
        if len(names) != 3:
            raise InputError(f"{listing}: line {number} has {len(names)} paths, expected 3")
        paths.append(tuple(path_to(root) / name for name in names))
    _refuse_missing((p for row in paths for p in row), listing, "listed frames")
    return FrameFiles(paths)


def xiph(root: Path, clips: Sequence[str] = XIPH_CLIPS, last: int = 98) -> FrameFiles:
    """Xiph: the even frames 2 to `last` of every clip between their odd neighbours."""
    paths = [
        tuple(path_to(root) / f"{clip}-{number + offset:03d}.png" for offset in (-1, 0, 1))
        for clip in clips
        for number in range(2, last + 1, 2)
    ]
    _refuse_missing((p for row in paths for p in row), path_to(root), "frames")
    return FrameFiles(paths)


def middlebury(root: Path, sequences: Sequence[str] = MIDDLEBURY_SEQUENCES) -> FrameFiles:
    """Middlebury's OTHER set: (frame 10, the frame between, frame 11)."""
    root = path_to(root)
    paths = [
        (
            root / "other-data" / name / "frame10.png",
            root / "other-gt-interp" / name / "frame10i11.png",
            root / "other-data" / name / "frame11.png",
        )
        for name in sequences
    ]
    _refuse_missing((p for row in paths for p in row), root, "frames")
    return FrameFiles(paths)


def xtest_positions(
    frames: int = 33, multiple: int = 8, step: int = 32
) -> tuple[Int[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
    """Rows (first, last, target) of frame positions in a sorted scene, and their times."""
    rows, times = [], []
    for first in range(0, frames - step, step):
        for part in range(1, multiple):
            rows.append((first, first + step, first + part * step // multiple))
            times.append(part / multiple)
    return np.array(rows), np.array(times)


def xtest(root: Path, multiple: int = 8) -> FrameFiles:
    """X4K1000FPS's test set, root/TYPE/SCENE/*.png: (first, every target, last) of a scene."""
    root = path_to(root)
    scenes = sorted(path for path in root.glob("*/*") if path.is_dir())
    if not scenes:
        raise InputError(f"{root}: no TYPE/SCENE folders")
    paths = []
    for scene in scenes:
        files = sorted(scene.glob("*.png"))
        if len(files) < 33:
            raise InputError(f"{scene}: {len(files)} frames, expected 33")
        rows, _ = xtest_positions(len(files), multiple)
        targets = [files[target] for first, _, target in rows if first == 0]
        paths.append((files[0], *targets, files[32]))
    return FrameFiles(paths)


def halve_area(image: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels (OpenCV's INTER_AREA at one half); 8-bit images round half up."""
    cells = image[0::2, 0::2], image[0::2, 1::2], image[1::2, 0::2], image[1::2, 1::2]
    if image.dtype == np.uint8:
        wide = [cell.astype(np.uint16) for cell in cells]
        return ((sum(wide[1:], wide[0]) + 2) >> 2).astype(np.uint8)
    return sum(cells[1:], cells[0]) / 4


def central_half(image: np.ndarray) -> np.ndarray:
    """The middle half of both sides."""
    height, width = image.shape[:2]
    return image[height // 4 : height - height // 4, width // 4 : width - width // 4]


def frame_folders(root: Path, frames: int) -> FrameFiles:
    """One's own data: every run of `frames` consecutive pictures of every folder under `root`.

    A folder is a clip, its pictures in the order of the numbers in their names; hidden files are
    left out. InputError where
    no folder has enough; a warning names what is missing between two of a folder's numbers.
    """
    root = path_to(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    paths: list[tuple[Path, ...]] = []
    by_folder: dict[Path, list[Path]] = {}
    for path in files_below(root, SUFFIXES).files:
        by_folder.setdefault(path.parent, []).append(path)
    for folder in sorted(by_folder):
        files = in_order(by_folder[folder])
        if lacking := gaps(files):
            warnings.warn(
                f"{folder}: {first_and_last(files)}: {'; '.join(lacking[:3])}", stacklevel=2
            )
        paths += [tuple(files[i : i + frames]) for i in range(len(files) - frames + 1)]
    if not paths:
        raise InputError(f"{root}: no folder there has {frames} pictures")
    return FrameFiles(paths)
