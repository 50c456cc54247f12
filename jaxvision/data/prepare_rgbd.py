"""SUN RGB-D and NYU Depth v2 from their owners' files into joined canvases, by class and split.

The lists that say which picture is of which class and split are the user's: lines
"<frame><TAB><class>". The first list becomes `train`, the second `val`.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from jaxvision.data.atomic_write import atomic_write
from jaxvision.data.hha import hha
from jaxvision.data.labelled_pictures import read_picture
from jaxvision.data.rgbd import INTRINSICS, join, read_depth, read_intrinsics
from jaxvision.errors import InputError
from jaxvision.text_files import read_lines

SPLITS = ("train", "val")
# Published pictures a split.
SUN_RGBD_SIZES = {"train": 4845, "val": 4659}
NYU_SIZES = {"train": 795, "val": 654}
# The colour camera of NYU Depth v2, which its labelled pictures are projected to (px).
NYU_INTRINSICS = np.array([[518.858, 0, 325.582], [0, 519.470, 253.736], [0, 0, 1.0]])


class Canvas(NamedTuple):
    """RGB and HHA side by side.  unmeasured: share of pixels without depth."""

    picture: Image.Image
    unmeasured: float


CanvasOf = Callable[[str], Canvas]


class Outcome(NamedTuple):
    """What became of a listed frame: `reason` says why it was left out, "" if it was not.

    unmeasured: share of its pixels without depth; 0 where the canvas was there before.
    """

    reason: str
    unmeasured: float = 0.0


@dataclass(frozen=True)
class Listed:
    """One line of a list: a frame, its class, and the split that the list stands for."""

    frame: str
    label: str
    split: str


def read_lists(lists: Sequence[Path]) -> list[Listed]:
    """The lines of a train list and a validation list.

    InputError names a line that is not "<frame><TAB><class>", a class whose name is no folder's,
    and a frame that is listed twice.
    """
    if len(lists) != len(SPLITS):
        raise InputError(f"--list: {len(lists)} files; expected two: of train and of validation")
    found: list[Listed] = []
    seen: set[str] = set()
    for split, path in zip(SPLITS, lists, strict=True):
        for number, line in enumerate(read_lines(path), 1):
            if not line.strip():
                continue
            frame, tab, label = line.strip().partition("\t")
            if not tab or not label or "/" in label or label.startswith("."):
                raise InputError(f"{path}:{number}: {line!r}: expected a frame, a tab and a class")
            if frame in seen:
                raise InputError(f"{path}:{number}: {frame}: listed twice")
            seen.add(frame)
            found.append(Listed(frame, label, split))
    if not found:
        raise InputError(f"{lists[0]}: lists no frames")
    return found


def size_report(listed: Sequence[Listed], published: dict[str, int]) -> str:
    """One line: pictures a split, beside the published number where it differs."""
    counts = Counter(one.split for one in listed)
    return ", ".join(
        f"{split} {counts[split]:,}"
        + ("" if counts[split] == published[split] else f" (published: {published[split]:,})")
        for split in SPLITS
    )


def source_of(kind: str, source: Path) -> tuple[CanvasOf, dict[str, int]]:
    """(the canvas of a frame by its name, the published sizes) of "sunrgbd" or "nyud"."""
    if kind == "nyud":
        return check_nyu(source), NYU_SIZES
    if not source.is_dir():
        raise InputError(f"{source}: no such folder")
    return SunRgbd(source), SUN_RGBD_SIZES


def prepare(
    listed: Sequence[Listed], canvas_of: CanvasOf, target: Path, workers: int = 0
) -> Iterator[tuple[Listed, Outcome]]:
    """Write target/<split>/<class>/<frame>.png for every listed frame that is not there yet.

    canvas_of(frame): the canvas; what it raises as InputError is the frame's fault. Yields each
    frame with what became of it.
    """
    write = partial(_write_canvas, canvas_of, target)
    workers = workers or os.cpu_count() or 1
    if workers == 1:
        yield from zip(listed, map(write, listed), strict=True)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from zip(listed, pool.map(write, listed, chunksize=4), strict=True)


def _write_canvas(canvas_of: CanvasOf, target: Path, one: Listed) -> Outcome:
    path = target / one.split / one.label / f"{one.frame.strip('/').replace('/', '_')}.png"
    if path.is_file():
        return Outcome("")
    try:
        canvas = canvas_of(one.frame)
    except InputError as error:
        return Outcome(str(error))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        canvas.picture.save(temporary, format="PNG")
    return Outcome("", canvas.unmeasured)


@dataclass(frozen=True)
class SunRgbd:
    """The owners' tree of SUN RGB-D: a folder a frame, with `image`, `depth_bfx` (depth
    filled in) or `depth`, and intrinsics.txt."""

    root: Path

    def __call__(self, frame: str) -> Canvas:
        """The canvas of a frame; `frame`: its folder, or the path of its picture, below the root or
        with folders of another machine before it."""
        folder = self.folder(frame)
        picture = np.asarray(read_picture(_only_file(folder / "image")))
        kind = "depth_bfx" if (folder / "depth_bfx").is_dir() else "depth"
        depth = read_depth(_only_file(folder / kind), "sunrgbd")
        return canvas(picture, depth, read_intrinsics(folder / INTRINSICS), str(folder))

    def folder(self, frame: str) -> Path:
        parts = [part for part in frame.strip().split("/") if part not in ("", ".", "..")]
        for first in range(len(parts)):
            for last in (len(parts), len(parts) - 2):  # the frame itself, or frame/image/file
                found = self.root.joinpath(*parts[first : max(last, first + 1)])
                if (found / "image").is_dir():
                    return found
        raise InputError(
            f"{frame}: no such frame below {self.root} (a folder with image and depth)"
        )


def _only_file(folder: Path) -> Path:
    files = sorted(p for p in folder.glob("*") if p.is_file() and not p.name.startswith("."))
    if len(files) != 1:
        raise InputError(f"{folder}: {len(files)} files; expected one picture")
    return files[0]


@dataclass(frozen=True)
class NyuDepth:
    """NYU Depth v2's labelled pictures: one HDF5 file (.mat). Frames are numbered from 1."""

    file: Path

    def __call__(self, frame: str) -> Canvas:
        h5py = _h5py()
        try:
            number = int(frame)
        except ValueError:
            raise InputError(
                f"{self.file}: {frame!r}: expected the number of a picture, from 1"
            ) from None
        with h5py.File(self.file, "r") as stored:
            missing = {"images", "depths"} - set(stored)
            if missing:
                raise InputError(f"{self.file}: no {', '.join(sorted(missing))} in it")
            if not 1 <= number <= len(stored["images"]):
                raise InputError(
                    f"{self.file}: picture {number}: expected 1 to {len(stored['images'])}"
                )
            # MATLAB keeps columns together: [channel, column, row].
            picture = np.asarray(stored["images"][number - 1]).transpose(2, 1, 0)
            depth = np.asarray(stored["depths"][number - 1], np.float64).T
        return canvas(picture, depth, NYU_INTRINSICS, f"{self.file}: picture {number}")


def check_nyu(file: Path) -> NyuDepth:
    """InputError for a file that is no HDF5, or where h5py is missing."""
    h5py = _h5py()
    if not file.is_file() or not h5py.is_hdf5(file):
        raise InputError(f"{file}: expected nyu_depth_v2_labeled.mat (HDF5)")
    return NyuDepth(file)


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise InputError("NYU's .mat is HDF5: pip install 'jaxvision[rgbd]'") from None
    return h5py


def canvas(
    picture: UInt8[np.ndarray, "h w 3"],
    depth: Float[np.ndarray, "h w"],
    intrinsics: Float[np.ndarray, "3 3"],
    name: str,
) -> Canvas:
    """The canvas of the pair called `name`.  depth: metres, filled in; what is still 0 takes part
    in no normal. InputError for two sizes, and for depth without a measured pixel."""
    if picture.shape[:2] != depth.shape:
        sizes = (f"{width} x {height}" for height, width in (picture.shape[:2], depth.shape))
        raise InputError("{}: picture {} pixels, depth {}".format(name, *sizes))
    if not depth.any():
        raise InputError(f"{name}: no pixel with a measured distance")
    return Canvas(join(picture, hha(depth, intrinsics)), float(np.mean(depth == 0)))
