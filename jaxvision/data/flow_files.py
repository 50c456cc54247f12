"""Files of optical flow, disparity and depth: .flo, .pfm, .dpt and KITTI's 16-bit PNG.

Arrays are [height, width, ...], rows from the top; flow is (u, v) in pixels of the first frame.
"""

import re
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt16

from jaxvision.data.atomic_write import atomic_write
from jaxvision.data.picture_files import read_stored
from jaxvision.errors import InputError
from jaxvision.stores.stored_path import path_to
from jaxvision.text_files import number

MAGIC = 202021.25  # of .flo and .dpt, as a little-endian float
FLOW_SCALE, FLOW_ZERO = 64.0, 32768
DISPARITY_SCALE = 256.0
UNKNOWN_FROM, UNKNOWN = 1e9, 1e10  # pixels of a .flo: none, and what is written for it


class SparseFlow(NamedTuple):
    """flow: pixels; where not valid, whatever the file holds."""

    flow: Float[np.ndarray, "h w 2"]
    valid: Bool[np.ndarray, "h w"]


def read_flo(path: str | Path) -> Float[np.ndarray, "h w 2"]:
    """Middlebury's and Sintel's flow."""
    return _tagged(path, 2)


def known(flow: Float[np.ndarray, "h w 2"]) -> Bool[np.ndarray, "h w"]:
    """Where a .flo has flow: numbers, and not as large as what stands for none."""
    return (np.abs(flow) < UNKNOWN_FROM).all(axis=-1)  # false where it is NaN


def write_flo(path: str | Path, flow: Float[np.ndarray, "h w 2"]) -> None:
    height, width, _ = flow.shape
    _write(path, struct.pack("<fii", MAGIC, width, height) + flow.astype("<f4").tobytes())


def read_dpt(path: str | Path) -> Float[np.ndarray, "h w"]:
    """Sintel's depth, in its own unit (metres by its authors' account)."""
    return _tagged(path, 1)[..., 0]


def _tagged(path: str | Path, channels: int) -> Float[np.ndarray, "h w c"]:
    """A float map behind a magic number, its width and its height."""
    content = _content(path)
    if len(content) < 12 or struct.unpack("<f", content[:4])[0] != MAGIC:
        raise InputError(f"{path}: does not start with {MAGIC}, as .flo and .dpt files do")
    width, height = struct.unpack("<ii", content[4:12])
    return _values(path, content[12:], "<f4", (height, width, channels))


def read_pfm(path: str | Path) -> Float[np.ndarray, "h w *channels"]:
    """A portable float map: [h, w], or [h, w, 3] in colour. Rows are stored from the bottom."""
    content = _content(path)
    header = re.match(rb"(P[fF])\s+(\d{1,9})\s+(\d{1,9})\s+([-+.0-9eE]+)\s", content)
    if header is None:
        raise InputError(f"{path}: expected 'Pf' or 'PF', width, height and scale")
    kind, width, height = header[1], int(header[2]), int(header[3])
    try:
        order = "<f4" if float(header[4]) < 0 else ">f4"
    except ValueError:
        raise InputError(f"{path}: expected a number for the scale, got {header[4]!r}") from None
    shape = (height, width, 3) if kind == b"PF" else (height, width)
    return _values(path, content[header.end() :], order, shape)[::-1].copy()


def write_pfm(path: str | Path, values: Float[np.ndarray, "h w *channels"]) -> None:
    height, width = values.shape[:2]
    kind = "PF" if values.ndim == 3 else "Pf"
    header = f"{kind}\n{width} {height}\n-1.0\n".encode()
    _write(path, header + values[::-1].astype("<f4").tobytes())


def _content(path: str | Path) -> bytes:
    try:
        return path_to(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error


def _write(path: str | Path, content: bytes) -> None:
    with atomic_write(Path(path)) as temporary:
        Path(temporary).write_bytes(content)


def _values(path: str | Path, data: bytes, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    count = int(np.prod([max(side, 0) for side in shape], dtype=np.float64))
    if min(shape) < 1 or len(data) < 4 * count:
        sides = " x ".join(map(str, shape))
        raise InputError(f"{path}: {len(data)} bytes of values, expected those of {sides} floats")
    return np.frombuffer(data, dtype, count).reshape(shape).astype(np.float32)


def read_flow_png(path: str | Path, scale: float = FLOW_SCALE) -> SparseFlow:
    """KITTI's flow: 16-bit RGB, (value - 32768) / scale, blue above 0 where valid.

    scale: 64 as KITTI has it. InputError for 8-bit files: their flow is lost.
    """
    stored = read_stored(path)
    if stored.dtype != np.uint16 or stored.ndim != 3 or stored.shape[-1] != 3:
        raise InputError(f"{path}: expected 16-bit RGB as flow is stored, got {_form(stored)}")
    valid = stored[..., 2] > 0
    flow = (stored[..., :2].astype(np.float32) - FLOW_ZERO) / np.float32(scale)
    return SparseFlow(flow, valid)


def encode_flow(
    flow: Float[np.ndarray, "h w 2"],
    valid: Bool[np.ndarray, "h w"] | None = None,
    scale: float = FLOW_SCALE,
    keep_invalid: bool = False,
) -> UInt16[np.ndarray, "h w 3"]:
    """The stored values of flow: truncated to 1/scale of a pixel, clipped to 16 bits, and 0 where
    not valid, as KITTI's own program does (keep_invalid: the flow stays, as CamLiFlow's does)."""
    valid = np.ones(flow.shape[:2], bool) if valid is None else np.asarray(valid, bool)
    values = np.clip(np.nan_to_num(flow.astype(np.float64)) * scale + FLOW_ZERO, 0, 65535)
    values = values if keep_invalid else np.where(valid[..., None], values, 0)
    return np.concatenate([values, valid[..., None]], axis=-1).astype(np.uint16)


def write_flow_png(
    path: str | Path,
    flow: Float[np.ndarray, "h w 2"],
    valid: Bool[np.ndarray, "h w"] | None = None,
) -> None:
    """See `encode_flow`."""
    write_deep_png(path, encode_flow(flow, valid))


def read_disparity_png(path: str | Path) -> Float[np.ndarray, "h w"]:
    """KITTI's disparity in pixels, 0 where there is none: 16-bit grey, value / 256."""
    stored = read_stored(path)
    if stored.ndim != 2 or stored.dtype == np.uint8:
        raise InputError(
            f"{path}: expected 16-bit grey as disparities are stored, got {_form(stored)}"
        )
    return stored.astype(np.float32) / np.float32(DISPARITY_SCALE)


def encode_disparity(disparity: Float[np.ndarray, "h w"]) -> UInt16[np.ndarray, "h w"]:
    """The stored values: truncated to 1/256 of a pixel, at least 1 where the disparity is above 0,
    at most 65535, and 0 elsewhere."""
    values = np.clip(np.nan_to_num(disparity.astype(np.float64)) * DISPARITY_SCALE, 1, 65535)
    return np.where(disparity > 0, values, 0).astype(np.uint16)


def write_disparity_png(path: str | Path, disparity: Float[np.ndarray, "h w"]) -> None:
    """See `encode_disparity`."""
    write_deep_png(path, encode_disparity(disparity))


def _form(stored: np.ndarray) -> str:
    channels = stored.shape[-1] if stored.ndim == 3 else 1
    return f"{8 * stored.dtype.itemsize}-bit values of {channels} channels"


def write_deep_png(path: str | Path, values: UInt16[np.ndarray, "h w *channels"]) -> None:
    """A PNG of 16-bit grey [h, w] or RGB [h, w, 3], which Pillow cannot write in colour."""
    height, width = values.shape[:2]
    rows = values.astype(">u2").reshape(height, -1).view(np.uint8)
    unfiltered = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)
    colour = 2 if values.ndim == 3 else 0
    header = struct.pack(">II", width, height) + bytes([16, colour, 0, 0, 0])
    chunks = [
        (b"IHDR", header),
        (b"IDAT", zlib.compress(unfiltered.tobytes(), 6)),
        (b"IEND", b""),
    ]
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in chunks:
        check = zlib.crc32(kind + data)
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)
    _write(path, content)


def read_calibration(path: str | Path, key: str = "P_rect_02") -> Float[np.ndarray, "3 4"]:
    """The projection of one camera in KITTI's `calib_cam_to_cam` file: a line `KEY: 12 numbers`."""
    for line in _content(path).decode("utf-8", "replace").splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == key:
            values = [number(word) for word in numbers.split()]
            if len(values) != 12 or None in values:
                raise InputError(f"{path}: expected 12 numbers in the line {key}")
            return np.asarray(values, np.float64).reshape(3, 4)
    raise InputError(f"{path}: no line {key}")
