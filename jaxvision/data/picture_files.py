"""The one reader of picture files: 8-bit RGB as a viewer shows it, or the numbers as stored."""

import io
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from jaxtyping import Shaped
from PIL import Image, ImageOps

from jaxvision.data.conversions import note
from jaxvision.errors import InputError
from jaxvision.stores.stored_path import path_to

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
# Where TIFF says how large a picture is, how many bits a value has, which value is black, and
# whether values have a sign.
WIDTH, HEIGHT, BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 256, 257, 258, 262, 339
WHITE_IS_ZERO, SIGNED = 0, 2
ORIENTATION = 0x0112
# What Pillow and its plugins raise at files that are not what they seem.
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError)


class ReadPicture(NamedTuple):
    """notes: what was converted or lost on the way, a few words each."""

    image: Image.Image
    notes: tuple[str, ...]


def read_picture(path: str | Path) -> Image.Image:
    """The picture in RGB, upright. InputError names a file that does not decode or whose values
    have no known range."""
    return read_with_notes(path).image


def read_with_notes(source: str | Path | bytes, name: str = "") -> ReadPicture:
    """The picture of a file, or of a file's bytes, in 8-bit RGB, upright as its EXIF says.

    Deeper values are scaled by their depth: 16 bits, or what a TIFF says; float ones by 1 where
    none is above it, by 255 otherwise. Alpha is dropped, of several pictures the first is taken.
    name: for errors, of bytes. What was converted is noted, too (`conversions`). InputError for
    what does not decode and for values in no such range.
    """
    name = name or str(source)
    notes: list[str] = []
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            if (count := getattr(image, "n_frames", 1)) > 1:
                notes.append(f"the first of {count} pictures")
            _check_layout(image, name)
            if _is_deep_colour(image):
                notes.append("16-bit colour converted to 8-bit")
            if _orientation(image) > 1:
                notes.append("turned upright, as its EXIF says")
            image.load()  # a TIFF is turned here
            picture = _to_rgb(_upright(image, notes), image, name, notes)
            for kind in notes:
                note(name, kind)
            return ReadPicture(picture, tuple(notes))
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: not a picture that can be read ({_reason(error)})") from error
    except InputError:
        raise
    except _BROKEN as error:
        raise InputError(f"{name}: not a picture that can be read ({_reason(error)})") from error


def read_stored(path: str | Path) -> Shaped[np.ndarray, "h w *channels"]:
    """The numbers of a picture file at their stored depth (uint8, uint16, int32 or float32), as
    flow and depth maps need them: not converted, nor turned but for TIFF's; colours in the order R,
    G, B.

    InputError for a file that does not decode.
    """
    try:
        with Image.open(path) as image:
            _check_layout(image, str(path))
            if not _is_deep_colour(image):
                return np.asarray(image)
        # Pillow keeps the upper 8 bits of 16-bit colour; FFmpeg keeps all.
        with path_to(path).open("rb") as file, av.open(file, "r") as container:
            frame = next(container.decode(video=0))
            wide = "rgba64le" if len(frame.format.components) in (2, 4) else "rgb48le"
            return frame.reformat(format=wide).to_ndarray()
    except (*_BROKEN, av.FFmpegError, Image.DecompressionBombError, StopIteration) as error:
        raise InputError(f"{path}: not a picture that can be read ({_reason(error)})") from error


def picture_size(path: str | Path) -> tuple[int, int]:
    """(height, width) of the upright picture, from the file's header alone."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            tags: Any = getattr(image, "tag_v2", None)
            if tags is not None:  # whose size may be the upright one
                width, height = int(tags[WIDTH]), int(tags[HEIGHT])
            return (width, height) if _orientation(image) >= 5 else (height, width)
    except (*_BROKEN, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: not a picture that can be read ({_reason(error)})") from error


def orientation(path: str | Path) -> int:
    """How a picture is stored, 1 to 8 (1: upright), by its EXIF alone."""
    try:
        with Image.open(path) as image:
            return _orientation(image)
    except (*_BROKEN, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: not a picture that can be read ({_reason(error)})") from error


def picture_mode(path: str | Path) -> str:
    """Pillow's name of what the file holds ("RGB", "L", "I;16"), from its header alone."""
    try:
        with Image.open(path) as image:
            return image.mode
    except (*_BROKEN, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: not a picture that can be read ({_reason(error)})") from error


def _reason(error: BaseException) -> str:
    """Why, without the number and path that the system puts around it."""
    return getattr(error, "strerror", None) or str(error)


def _is_deep_colour(image: Image.Image) -> bool:
    """Whether a picture of 8-bit mode holds 16-bit values: not decoded yet, it knows its layout."""
    tiles: Any = getattr(image, "tile", ())
    return image.mode in ("RGB", "RGBA", "LA") and bool(tiles) and ";16" in str(tiles[0][3])


def _check_layout(image: Image.Image, name: str) -> None:
    """InputError for a TIFF that Pillow would read as other numbers than it holds."""
    tags: Any = getattr(image, "tag_v2", None)
    if tags is None or image.mode.startswith(("I", "F")):
        return
    bits = int(np.max(tags.get(BITS_PER_SAMPLE, 1)))
    if bits > 8 and not _is_deep_colour(image):
        raise InputError(f"{name}: {bits}-bit colour plane by plane; expected pixel by pixel")
    if np.any(np.equal(tags.get(SAMPLE_FORMAT, 1), SIGNED)):
        raise InputError(f"{name}: {bits}-bit values with a sign; expected unsigned ones")


def _orientation(image: Image.Image) -> int:
    """1 (upright) to 8, of a picture that is not decoded yet; damaged EXIF says nothing."""
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except _BROKEN:
        return 1
    return found if found in range(2, 9) else 1


def _upright(image: Image.Image, notes: list[str]) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except _BROKEN:
        # A picture that decodes is worth more than its damaged EXIF.
        notes.append("EXIF cannot be read: taken as stored")
        return image


def _to_rgb(image: Image.Image, opened: Image.Image, name: str, notes: list[str]) -> Image.Image:
    """RGB of an upright picture. opened: the file's, which knows its format and tags."""
    mode = image.mode
    if mode == "F" or mode.startswith("I"):
        return _deep_grey(image, opened, name, notes)
    if (mode != "LAB" and "A" in image.getbands()) or "transparency" in image.info:
        notes.append("alpha channel dropped")
    if mode in ("1", "L", "LA"):
        notes.append("grey converted to colour")
    elif mode not in ("RGB", "RGBA", "P", "PA", "YCbCr"):
        notes.append(f"{mode} converted to RGB")
    return image.convert("RGB")


def _deep_grey(image: Image.Image, opened: Image.Image, name: str, notes: list[str]) -> Image.Image:
    """Grey values of more than 8 bits, scaled by their depth."""
    values = np.asarray(image)
    if image.mode == "F":
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 255):
            raise InputError(
                f"{name}: float values from {low:g} to {high:g}; expected 0 to 1 or 0 to 255"
            )
        full, kind = (1.0 if high <= 1 else 255.0), "float"
        grey = np.concatenate([_scaled(rows, full) for rows in _bands(values)])
    else:
        bits = 16
        tags = getattr(opened, "tag_v2", None)
        if tags is not None:
            bits = int(np.max(tags.get(BITS_PER_SAMPLE, 16)))
        full, kind = 2.0**bits - 1, f"{bits}-bit"
        if bits > 16 or values.max() > full or values.min() < 0:
            raise InputError(
                f"{name}: {bits}-bit values from {values.min():g} to {values.max():g}; expected "
                "unsigned ones of 8 to 16 bits"
            )
        grey_of = _scaled(np.arange(2**bits), full)
        if tags is not None and tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
            grey_of = grey_of[::-1]
        grey = np.concatenate([grey_of[rows] for rows in _bands(values)])
    notes.append(f"{kind} grey converted to 8-bit")
    return Image.fromarray(grey).convert("RGB")


def _bands(values: np.ndarray) -> list[np.ndarray]:
    """A few rows at a time: a small file may hold millions of equal values, and what is computed of
    them is larger than they are."""
    return [values[start : start + 256] for start in range(0, len(values), 256)]


def _scaled(values: np.ndarray, full: float) -> np.ndarray:
    """0 to `full` as 0 to 255."""
    return np.round(values / np.float64(full) * 255).astype(np.uint8)
