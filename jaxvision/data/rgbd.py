"""Pairs of a colour picture and its depth: joined canvases, folders of one's own, depth files.

Depth reaches a network as HHA (`data/hha.py`), a picture of three channels, pixel by pixel beside
the colour picture.
"""

import glob
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from jaxvision.data.folders import classes_text, no_class
from jaxvision.data.hha import hha
from jaxvision.data.labelled_pictures import class_names, picture_folder
from jaxvision.data.picture_files import (
    SUFFIXES,
    orientation,
    picture_mode,
    picture_size,
    read_picture,
    read_stored,
)
from jaxvision.data.source import FileRecords
from jaxvision.errors import InputError
from jaxvision.stores.stored_path import path_to
from jaxvision.text_files import number, read_text

# A canvas narrower than this many heights holds one picture, not two side by side.
NARROWEST_CANVAS = 1.6
# How 16-bit depth pictures say metres; "sunrgbd": millimetres rotated by three bits.
DEPTH_UNITS = ("millimetres", "sunrgbd", "tenth_millimetres")
FARTHEST_METRES = 10.0  # what is farther counts as that far (SUN RGB-D's toolbox)
INTRINSICS = "intrinsics.txt"
GREY_MODES = ("1", "L", "LA")  # of 8 bits or less


def read_depth(path: Path, unit: str = "millimetres") -> Float[np.ndarray, "h w"]:
    """Depth in metres of a 16-bit PNG, 0 where nothing was measured. InputError names a file of
    another kind."""
    values = read_stored(path)
    if values.ndim != 2 or values.dtype not in (np.uint16, np.int32):
        channels = values.shape[2] if values.ndim == 3 else 1
        raise InputError(
            f"{path}: depth of {channels} x {8 * values.itemsize} bits; expected one channel of 16"
        )
    if values.size and not 0 <= values.min() <= values.max() <= 0xFFFF:
        raise InputError(
            f"{path}: depth from {values.min()} to {values.max()}; expected 16 bits, 0 to 65535"
        )
    stored: np.ndarray = values.astype(np.uint32)
    if unit == "sunrgbd":
        stored = (stored >> 3) | ((stored << 13) & 0xFFFF)
    metres = stored / (10_000.0 if unit == "tenth_millimetres" else 1_000.0)
    return np.minimum(metres, FARTHEST_METRES)


def read_intrinsics(path: Path) -> Float[np.ndarray, "3 3"]:
    """Nine numbers (rows of a camera matrix), or four: fx fy cx cy, in pixels."""
    words = read_text(path).split()
    numbers = [value for value in map(number, words) if value is not None]
    if len(numbers) < len(words):
        raise InputError(f"{path}: a word that is no number; expected 9 numbers or fx fy cx cy")
    if len(numbers) == 4:
        fx, fy, cx, cy = numbers
        numbers = [fx, 0, cx, 0, fy, cy, 0, 0, 1]
    if len(numbers) != 9:
        raise InputError(f"{path}: {len(numbers)} numbers; expected 9, or fx fy cx cy")
    matrix = np.array(numbers, np.float64).reshape(3, 3)
    if min(matrix[0, 0], matrix[1, 1]) <= 0:
        raise InputError(f"{path}: focal lengths {matrix[0, 0]:g}, {matrix[1, 1]:g}: expected > 0")
    return matrix


def split_canvas(path: Path) -> tuple[Image.Image, Image.Image]:
    """(RGB, HHA) halves of a joined canvas; of an odd width, HHA has the column more.

    InputError for a canvas that holds one picture."""
    canvas = read_picture(path)
    width, height = canvas.size
    if width < NARROWEST_CANVAS * height:
        raise InputError(
            f"{path}: {width} x {height}: expected RGB and HHA side by side; a picture without its "
            "pair?"
        )
    middle = width // 2
    return canvas.crop((0, 0, middle, height)), canvas.crop((middle, 0, width, height))


@dataclass(frozen=True)
class Canvases(FileRecords):
    """Records {"rgb", "depth", "label"} of <root>/<class>/<canvas> (the published layout)."""

    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)  # files beside them, by kind

    def summary(self) -> str:
        """Canvases of each class, what was skipped, and how many are not as published ones are."""
        unlike = Counter(kind for path in self.paths for kind in _unlike_published(path))
        return classes_text(self.labels, self.classes, "canvases", self.skipped) + _counted(unlike)

    def __getitem__(self, index: int) -> dict[str, Any]:
        rgb, depth = split_canvas(self.paths[index])
        return {"rgb": rgb, "depth": depth, "label": self.labels[index]}


def canvas_folder(root: str | Path, classes: Sequence[str]) -> Canvases:
    """root/<class>/<canvas>.png; a class's number is its place in `classes`."""
    files = picture_folder(root, classes)
    return Canvases(files.paths, files.labels, files.names, files.skipped)


def _unlike_published(path: Path) -> list[str]:
    """What a canvas has that no published one has, by its header. What cannot be read is named when
    its turn comes."""
    try:
        odd, grey = picture_size(path)[1] % 2 == 1, picture_mode(path) in GREY_MODES
    except InputError:
        return []
    return ["of odd width"] * odd + ["grey"] * grey


def _counted(kinds: Mapping[str, int]) -> str:
    return "".join(f"; {count} {kind}" for kind, count in sorted(kinds.items()))


@dataclass(frozen=True)
class Pairs(FileRecords):
    """Records {"rgb", "depth", "label"} of pairs of files of one's own.

    unit: of 16-bit depth, one of DEPTH_UNITS.
    """

    paths: tuple[tuple[Path, Path], ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    unit: str = "millimetres"

    def summary(self) -> str:
        """Pairs of each class, and what their depth files hold."""
        kinds = Counter(_depth_kind(depth) for _, depth in self.paths)
        return classes_text(self.labels, self.classes, "pairs", {}) + _counted(kinds)

    def __getitem__(self, index: int) -> dict[str, Any]:
        rgb, depth = read_pair_files(*self.paths[index], self.unit)
        return {"rgb": rgb, "depth": depth, "label": self.labels[index]}


def pair_folder(root: str | Path, classes: Sequence[str], unit: str = "millimetres") -> Pairs:
    """root/<class>/rgb/NAME.* with root/<class>/depth/NAME.*: HHA pictures of three channels, or
    16-bit depth with an intrinsics.txt beside `rgb`, in the class's folder or in root.

    InputError names a picture without its pair, and a class without pictures.
    """
    number = {name: place for place, name in enumerate(classes)}
    paths: list[tuple[Path, Path]] = []
    labels: list[int] = []
    for name in class_names(root):
        folder = path_to(root) / name
        if name not in number:
            raise no_class(folder, classes)
        pictures, depths = (_by_stem(folder / kind) for kind in ("rgb", "depth"))
        for stem, path in {**depths, **pictures}.items():
            if stem not in pictures or stem not in depths:
                other = "depth" if stem in pictures else "rgb"
                raise InputError(f"{path}: no {other}/{stem}.* beside it")
        if not pictures:
            raise InputError(f"{folder}: an empty class: expected rgb/NAME.* and depth/NAME.*")
        paths += [(pictures[stem], depths[stem]) for stem in sorted(pictures)]
        labels += [number[name]] * len(pictures)
    return Pairs(tuple(paths), tuple(labels), tuple(classes), unit)


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else []:
        if file.suffix.lower() not in SUFFIXES or file.name.startswith("."):
            continue
        if file.stem in found:
            raise InputError(f"{file}: beside {found[file.stem].name}: which of them is meant?")
        found[file.stem] = file
    return found


def picture_called(folder: Path, stem: str) -> Path | None:
    """The picture of a folder whose name without suffix is `stem`."""
    files = sorted(folder.glob(f"{glob.escape(stem)}.*")) if folder.is_dir() else ()
    return next((f for f in files if f.stem == stem and f.suffix.lower() in SUFFIXES), None)


def _depth_kind(path: Path) -> str:
    """What a depth file is read as, by its header."""
    try:
        mode = picture_mode(path)
    except InputError:
        return "depth that cannot be read"
    if mode.startswith("I"):
        return "depth of 16 bits"
    if mode in GREY_MODES:
        return "depth of one channel of 8 bits (taken as it is: no distances)"
    return "depth as HHA pictures"


def read_pair_files(
    picture: Path, depth: Path, unit: str = "millimetres"
) -> tuple[Image.Image, Image.Image]:
    """(RGB, HHA) of two files. InputError where they differ in size, upright, or in how their EXIF
    turns them."""
    rgb, made = read_picture(picture), hha_picture(depth, unit)
    turned, of_depth = orientation(picture), orientation(depth)
    if turned != of_depth or (turned > 1 and picture_mode(depth).startswith("I")):
        raise InputError(
            f"{picture}: its EXIF turns it (orientation {turned}), but not so {depth} (depth is "
            "taken as stored): save both upright"
        )
    if rgb.size != made.size:
        raise InputError(
            f"{depth}: {made.width} x {made.height} pixels, but {picture} has {rgb.width} x "
            f"{rgb.height}"
        )
    return rgb, made


def hha_picture(depth: Path, unit: str = "millimetres") -> Image.Image:
    """HHA of a depth file.

    Three channels of 8 bits are HHA already; one channel of 8 bits is taken as it is, three times;
    16 bits are metres by `unit` and need the camera's intrinsics, from the class's folder or the
    one above. InputError for float values, and for 16 bits without intrinsics or without a
    measured pixel.
    """
    mode = picture_mode(depth)
    if mode == "F":
        raise InputError(
            f"{depth}: depth in float values; expected a 16-bit PNG (data.depth_unit) or an HHA "
            "picture"
        )
    if not mode.startswith("I"):
        return read_picture(depth)
    folder = depth.parent.parent
    for place in (folder, folder.parent):
        if (place / INTRINSICS).is_file():
            metres = read_depth(depth, unit)
            if not metres.any():
                raise InputError(f"{depth}: no pixel with a measured distance")
            return Image.fromarray(hha(metres, read_intrinsics(place / INTRINSICS)))
    raise InputError(
        f"{depth}: 16-bit depth needs {folder / INTRINSICS} (fx fy cx cy) to become HHA"
    )


def join(rgb: UInt8[np.ndarray, "h w 3"], depth: UInt8[np.ndarray, "h w 3"]) -> Image.Image:
    """The canvas of a pair."""
    return Image.fromarray(np.concatenate([rgb, depth], axis=1))
