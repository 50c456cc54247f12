"""Tubes of UCF101-24 and JHMDB: the ground truth pickles of the ACT evaluation.

`UCF101v2-GT.pkl` and `JHMDB-GT.pkl` hold `labels`, `train_videos` and `test_videos` (one list a
split), `nframes`, `resolution` (height, width) and `gttubes` {video: {label: [rows of frame, x1,
y1, x2, y2]}}; frames count from 1, boxes are pixels, borders inclusive.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxvision.data.arrays import read_pickle
from jaxvision.errors import InputError, nearest, reading

Tube = Float[np.ndarray, "frames 5"]
KEYS = ("labels", "train_videos", "test_videos", "nframes", "resolution", "gttubes")


@dataclass(frozen=True, kw_only=True)
class ActionTubes:
    """labels: name of each class.  train, test: videos of each split.  frames: of each video.
    resolution: height and width.  tubes: {video: {label: tubes}}, rows frame, x1, y1, x2, y2."""

    labels: tuple[str, ...]
    train: tuple[tuple[str, ...], ...]
    test: tuple[tuple[str, ...], ...]
    frames: Mapping[str, int]
    resolution: Mapping[str, tuple[int, int]]
    tubes: Mapping[str, Mapping[int, tuple[Tube, ...]]]

    def split(self, number: int, part: str) -> tuple[str, ...]:
        """Videos of "train" or "test" of a split; splits count from 1."""
        splits = self.train if part == "train" else self.test
        if not 1 <= number <= len(splits):
            raise InputError(f"split {number}: expected 1 to {len(splits)}")
        return splits[number - 1]


def read_act_tubes(path: Path) -> ActionTubes:
    """The ground truth that a pickle of Python 2 or 3 holds; nothing in it is run.

    InputError names the video where a frame lies outside it, a box has its sides exchanged, a label
    is none of the labels, or a split names a video without tubes or frame count.
    """
    content = read_pickle(path)
    with reading(path, "ground truth of the ACT evaluation"):
        return _action_tubes(content, path)


def _action_tubes(content: Any, path: Path) -> ActionTubes:
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: expected a table with the keys {', '.join(KEYS)}")
    for key in KEYS:
        if key not in content:
            raise InputError(f"{path}: no key {key!r}{nearest(key, map(str, content))}")
    labels = tuple(str(name) for name in content["labels"])
    frames = {str(video): int(count) for video, count in content["nframes"].items()}
    tubes: dict[str, dict[int, tuple[Tube, ...]]] = {}
    for video, by_label in content["gttubes"].items():
        tubes[str(video)] = {
            int(label): tuple(
                _tube(rows, frames.get(str(video), 0), f"{path}: {video}, label {label}")
                for rows in several
            )
            for label, several in by_label.items()
        }
        strange = [label for label in tubes[str(video)] if not 0 <= label < len(labels)]
        if strange:
            raise InputError(f"{path}: {video}: label {strange[0]}; there are {len(labels)} labels")
    train, test = (_splits(content[f"{part}_videos"]) for part in ("train", "test"))
    sizes = {str(v): (int(size[0]), int(size[1])) for v, size in content["resolution"].items()}
    for video in {video for split in (*train, *test) for video in split}:
        for key, known in (("nframes", frames), ("resolution", sizes), ("gttubes", tubes)):
            if video not in known:
                raise InputError(f"{path}: {key} has no video {video!r}, which a split names")
    return ActionTubes(
        labels=labels, train=train, test=test, frames=frames, resolution=sizes, tubes=tubes
    )


def _splits(content: Any) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(str(video) for video in split) for split in content)


def _tube(rows: Any, frames: int, where: str) -> Tube:
    """Rows of one tube, checked: frames ascend by one within the video."""
    tube = np.asarray(rows, np.float32)
    if tube.ndim != 2 or tube.shape[1] != 5 or not len(tube):
        raise InputError(f"{where}: a tube of shape {tube.shape}; expected (frames, 5)")
    if not np.isfinite(tube).all():
        raise InputError(f"{where}: a tube holds numbers that are not finite")
    first, last = int(tube[0, 0]), int(tube[-1, 0])
    if first < 1 or last > frames:
        raise InputError(
            f"{where}: a tube of frames {first} to {last}; the video has 1 to {frames}"
        )
    if (np.diff(tube[:, 0]) != 1).any():
        raise InputError(f"{where}: a tube leaves out frames between {first} and {last}")
    if (tube[:, 3:] < tube[:, 1:3]).any():
        raise InputError(f"{where}: a box with its sides exchanged; expected x1 <= x2, y1 <= y2")
    return tube
