"""Raw planar 4:2:0 video: the HD interpolation benchmark's files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jaxvision.errors import InputError, reading
from jaxvision.stores.stored_path import path_to

# {class: ((file stem, (height, width)), ...)}
HD_CLIPS: Mapping[str, tuple[tuple[str, tuple[int, int]], ...]] = {
    "544p": tuple(
        (f"HD544p_GT/Sintel_{name}_1280x544", (544, 1280))
        for name in ("Alley2", "Market5", "Temple1", "Temple2")
    ),
    "720p": tuple(
        (f"HD720p_GT/{name}", (720, 1280))
        for name in ("parkrun_1280x720_50", "shields_1280x720_60", "stockholm_1280x720_60")
    ),
    "1080p": tuple(
        (f"HD1080p_GT/{name}", (1080, 1920))
        for name in (
            "BlueSky",
            "Kimono1_1920x1080_24",
            "ParkScene_1920x1080_24",
            "sunflower_1080p25",
        )
    ),
}
# Rows R, G, B over (Y, U, V), Y in [0, 1], U and V around 0 (BT.601, full range).
YUV_TO_RGB = np.array(
    [[1.0, 0.0, 1.13988303], [1.0, -0.394642334, -0.58062185], [1.0, 2.03206185, 0.0]]
)


def yuv_to_rgb(
    y: UInt8[np.ndarray, "h w"], u: UInt8[np.ndarray, "h2 w2"], v: UInt8[np.ndarray, "h2 w2"]
) -> UInt8[np.ndarray, "h w 3"]:
    """8-bit RGB: chroma enlarged by Pillow's bicubic filter, the result truncated, not rounded."""
    height, width = y.shape

    def enlarge(plane: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC))

    yuv = np.stack([y / 255, enlarge(u) / 255 - 0.5, enlarge(v) / 255 - 0.5], axis=-1)
    return (np.clip(yuv @ YUV_TO_RGB.T, 0, 1) * 255).astype(np.uint8)


@dataclass(frozen=True)
class YuvFile:
    """A `.yuv` file of 8-bit planar 4:2:0 frames, which carry no header: the size is given."""

    path: Path
    height: int
    width: int

    @property
    def frame_bytes(self) -> int:
        return self.height * self.width * 3 // 2

    def __len__(self) -> int:
        return self.path.stat().st_size // self.frame_bytes

    def frame(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """RGB. InputError where the file has no such frame."""
        with reading(self.path, "raw video"), self.path.open("rb") as file:
            file.seek(index * self.frame_bytes)
            raw = np.frombuffer(file.read(self.frame_bytes), np.uint8)
        if len(raw) < self.frame_bytes:
            raise InputError(f"{self.path}: no frame {index} of {self.width}x{self.height}")
        pixels, quarter = self.height * self.width, self.height * self.width // 4
        half = (self.height // 2, self.width // 2)
        return yuv_to_rgb(
            raw[:pixels].reshape(self.height, self.width),
            raw[pixels : pixels + quarter].reshape(half),
            raw[pixels + quarter :].reshape(half),
        )


@dataclass(frozen=True)
class HdIntervals:
    """(frame i, i+1, i+2, i+3, i+4) in RGB for i = 0, 4, ... 96 of every clip of a class.

    Records also carry `clip`, the clip's number. root: the folder of HD{544,720,1080}p_GT.
    """

    files: Sequence[YuvFile]
    intervals: int = 25

    @classmethod
    def of_class(cls, root: Path, name: str) -> "HdIntervals":
        files = [YuvFile(path_to(root) / f"{stem}.yuv", *size) for stem, size in HD_CLIPS[name]]
        missing = [file.path for file in files if not file.path.is_file()]
        if missing:
            raise InputError(f"{root}: {len(missing)} clips are missing, the first is {missing[0]}")
        for file in files:
            size = file.path.stat().st_size
            if size % file.frame_bytes:
                raise InputError(
                    f"{file.path}: {size} bytes; expected frames of {file.frame_bytes} "
                    f"({file.width}x{file.height})"
                )
        return cls(files)

    def __len__(self) -> int:
        return len(self.files) * self.intervals

    def __getitem__(self, index: int) -> dict[str, Any]:
        clip, interval = divmod(index, self.intervals)
        frames = [self.files[clip].frame(4 * interval + offset) for offset in range(5)]
        return {"frames": np.stack(frames), "clip": np.int32(clip)}

    def name(self, index: int) -> str:
        clip, interval = divmod(index, self.intervals)
        return f"{self.files[clip].path}, frames {4 * interval} to {4 * interval + 4}"

    def size(self, index: int) -> tuple[int, int]:
        file = self.files[index // self.intervals]
        return file.height, file.width
