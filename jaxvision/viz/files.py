"""Pictures and videos to files that are complete or absent."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jaxvision.data.atomic_write import atomic_write
from jaxvision.data.reencoding import SAME_BYTES


def write_png(path: Path, picture: UInt8[np.ndarray, "height width 3"]) -> None:
    """Write one picture as PNG."""
    with atomic_write(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")


def write_mp4(path: Path, video: UInt8[np.ndarray, "t height width 3"], fps: float) -> None:
    """Write frames as H.264 in MP4; odd sides are cropped by a pixel, as 4:2:0 colour needs."""
    height, width = video.shape[1] // 2 * 2, video.shape[2] // 2 * 2
    with atomic_write(path) as temporary, av.open(temporary, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "18", **SAME_BYTES}
        for frame in video[:, :height, :width]:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


# What is about all inputs together, or about the folder.
TABLES = ("answered", "job", "predictions", "ranking", "results_nusc")
# What an input's files may be called besides, after its name.
ENDINGS = ("_memory", "_people", "_retimed")


def output_names(paths: Sequence[Path]) -> list[str]:
    """A name for what is written of each input: its stem, numbered where several share one (also
    where they differ by upper and lower case alone, which are one file to some disks), where a
    table has it, and where another input's files have it."""
    names: list[str] = []
    taken = set(TABLES)
    for path in paths:
        name, number = path.stem, 1
        while not taken.isdisjoint(_files_called(name)):
            number += 1
            name = f"{path.stem}_{number}"
        names.append(name)
        taken |= _files_called(name)
    return names


def _files_called(name: str) -> set[str]:
    return {name.lower(), *(f"{name}{ending}".lower() for ending in ENDINGS)}
