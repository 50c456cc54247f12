"""Films cut into one file a second, as AlphAction and CycleACR keep AVA: FOLDER/902.mp4."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from jaxvision.data.actions.clip_frames import middle, of_seconds
from jaxvision.data.video import Video
from jaxvision.errors import InputError


class FrameCounts(Mapping[int, int]):
    """{second: frames in its file} of a film's folder; a file is opened when it is asked for."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._known: dict[int, int | None] = {}

    def path(self, second: int) -> Path:
        return self._folder / f"{second}.mp4"

    def _count(self, second: int) -> int | None:
        if second not in self._known:
            found = None
            if self.path(second).is_file():
                with Video(self.path(second)) as video:
                    found = len(video)
            self._known[second] = found
        return self._known[second]

    def __contains__(self, second: object) -> bool:
        return isinstance(second, int) and self._count(second) is not None

    def __getitem__(self, second: int) -> int:
        found = self._count(second)
        if found is None:
            raise KeyError(second)
        return found

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(int(p.stem) for p in self._folder.glob("*.mp4") if p.stem.isdecimal()))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def clip_around(
    folder: Path, second: int, frames: int, stride: int, start: int | None = None
) -> UInt8[np.ndarray, "{frames} h w 3"]:
    """`frames` frames, `stride` apart, from the middle of the files around the first frame of
    `second` (`clip_frames.of_seconds`, `clip_frames.middle`); only these are decoded.

    start: 0 to stride - 1, the training's draw; None: the middle of those.
    InputError where the key frame's file is missing or alone, and where sizes differ.
    """
    counts = FrameCounts(folder)
    if second not in counts:
        raise InputError(f"{counts.path(second)}: no such file, where a key frame should be")
    around = of_seconds(counts, second, frames * stride)
    if not around:
        raise InputError(f"{counts.path(second - 1)}: no such file; nothing precedes the key frame")
    chosen = [around[i] for i in middle(len(around), frames, stride, start)]
    parts = []
    for here in dict.fromkeys(at for at, _ in chosen):
        with Video(counts.path(here)) as video:
            parts.append(video.frames([frame for at, frame in chosen if at == here]))
        if parts[-1].shape[1:] != parts[0].shape[1:]:
            raise InputError(f"{counts.path(here)}: frames of another size than those before")
    return np.concatenate(parts)
