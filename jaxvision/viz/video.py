"""Videos as one picture."""

import textwrap
from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

GAP = 2
LABEL_WIDTH = 84
LETTERS = 14  # of a label in a line
LINE = 14  # height of a line of letters
SMALLEST_FRAME = 64  # smaller frames are enlarged by a whole factor


def strip(
    videos: Mapping[str, UInt8[np.ndarray, "t h w 3"]], most_frames: int = 8
) -> UInt8[np.ndarray, "height width 3"]:
    """One row per named video: its name, in as many lines as fit beside it, then up to
    `most_frames` frames at equal distances."""
    rows = [_row(name, video, most_frames) for name, video in videos.items()]
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, GAP), (0, width - row.shape[1]), (0, 0))) for row in rows]
    return np.concatenate(padded)


def _row(name: str, video: np.ndarray, most_frames: int) -> np.ndarray:
    chosen = np.linspace(0, len(video) - 1, min(most_frames, len(video))).round().astype(int)
    factor = -(-SMALLEST_FRAME // min(video.shape[1:3]))
    frames = video[chosen].repeat(factor, axis=1).repeat(factor, axis=2)
    frames = np.pad(frames, ((0, 0), (0, 0), (0, GAP), (0, 0)))
    height = frames.shape[1]
    lines = textwrap.wrap(name, LETTERS, max_lines=height // LINE, placeholder="...")
    label = Image.new("RGB", (LABEL_WIDTH, height))
    top = height // 2 + 1 - LINE * len(lines) // 2
    ImageDraw.Draw(label).multiline_text((4, top), "\n".join(lines), fill="white")
    return np.concatenate([np.asarray(label), *frames], axis=1)
