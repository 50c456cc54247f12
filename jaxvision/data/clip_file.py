"""A whole video file as one short clip."""

from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from jaxvision.errors import InputError


def read_clip(
    path: Path, frames: int, size: tuple[int, int]
) -> UInt8[np.ndarray, "frames height width 3"]:
    """`frames` frames at equal distances over the file, scaled and centre-cropped to `size`.

    size: (height, width).  A file of fewer frames repeats some. InputError for a file without
    video or one that does not decode.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"{path}: holds no video")
            pictures = [frame.to_image() for frame in container.decode(video=0)]
    except (OSError, ValueError, av.FFmpegError) as error:
        raise InputError(f"{path}: not a video that can be read ({error})") from error
    if not pictures:
        raise InputError(f"{path}: holds no frames")
    chosen = np.linspace(0, len(pictures) - 1, frames).round().astype(int)
    height, width = size
    return np.stack(
        [
            np.asarray(ImageOps.fit(pictures[i], (width, height), Image.Resampling.BICUBIC))
            for i in chosen
        ]
    )
