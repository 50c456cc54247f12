"""nuScenes-lidarseg in its official layout: sweeps, and labels by the tokens of the tables."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxvision.data.lidar.nuscenes_tables import Tables
from jaxvision.data.lidar.scan import Scan, read_floats, read_integers
from jaxvision.errors import InputError, check_choice

# The published mini splits; the others are the devkit's lists, given by the user's config.
MINI_SCENES = {
    "mini_train": tuple(f"scene-{n:04}" for n in (61, 553, 655, 757, 796, 1077, 1094, 1100)),
    "mini_val": ("scene-0103", "scene-0916"),
}


def scenes_of(split: str | Collection[str]) -> tuple[str, ...]:
    """Scene names of a split: by a name known here, or as listed by the user."""
    if not isinstance(split, str):
        return tuple(split)
    check_choice("split", split, MINI_SCENES)
    return MINI_SCENES[split]


@dataclass(frozen=True)
class Lidarseg:
    """The labelled key frames of some scenes, in the order of their time stamps."""

    root: Path
    frames: tuple[tuple[str, str, str], ...]  # sample_data token, points file, labels file

    @classmethod
    def open(cls, root: Path, version: str, scenes: Collection[str]) -> "Lidarseg":
        """scenes: names. InputError where no labelled key frame belongs to them."""
        tables = Tables(root, version)
        chosen = []
        for token, label in tables.table("lidarseg").items():
            data = tables.row("sample_data", token, f"lidarseg {token}")
            sample = tables.row("sample", data["sample_token"], f"sample_data {token}")
            scene = tables.row("scene", sample["scene_token"], f"sample {sample['token']}")
            if data["is_key_frame"] and scene["name"] in scenes:
                chosen.append((data["timestamp"], token, data["filename"], label["filename"]))
        if not chosen:
            raise InputError(f"{root / version}: no labelled key frame of {len(scenes)} scenes")
        return cls(root, tuple(frame[1:] for frame in sorted(chosen)))

    def __len__(self) -> int:
        return len(self.frames)

    def name(self, index: int) -> str:
        return str(self.root / self.frames[index][1])

    def __getitem__(self, index: int) -> Scan:
        _, points_file, labels_file = self.frames[index]
        # The fifth value is the ring; intensity stays 0 to 255.
        points = read_floats(self.root / points_file, 5)[:, :4].copy()
        stored = read_integers(self.root / labels_file, "u1", len(points))
        return Scan(points, stored.astype(np.int32))
