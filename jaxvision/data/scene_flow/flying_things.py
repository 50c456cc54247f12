"""The FlyingThings3D subset as CamLiFlow prepares it.

ROOT/{train,val}/image_clean/%07d.png, flow_2d/%07d.png, pc/%07d.npz (pc1, pc2), flow_3d/%07d.npy
and occ_mask_3d/%07d.npy (bits).
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from jaxvision.data.arrays import read_arrays
from jaxvision.data.conversions import note
from jaxvision.data.flow_files import read_flow_png
from jaxvision.data.picture_files import read_picture
from jaxvision.data.scene_flow.frames import FramePair, check_sizes
from jaxvision.data.scene_flow.geometry import Camera
from jaxvision.errors import InputError

CAMERA = Camera(1050.0, 479.5, 269.5)
LARGEST_FLOW = 250.0  # pixels; what is longer does not count
SEED = 0  # of the points that evaluations draw


@dataclass(frozen=True)
class FlyingThings:
    """split: "train" or "val".  passes: which pictures, the folder `image_<passes>`."""

    root: Path
    split: str
    passes: str = "clean"

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """Of the frames whose flow is known. InputError where there are none."""
        folder = self.root / self.split / "flow_2d"
        found = tuple(sorted(int(p.stem) for p in folder.glob("*.png") if p.stem.isdecimal()))
        if not found:
            raise InputError(f"{folder}: no prepared flow, expected files such as 0000000.png")
        return found

    def __len__(self) -> int:
        return len(self.numbers)

    def name(self, index: int) -> str:
        return f"{self.split}/{self.numbers[index]:07d}"

    def __getitem__(self, index: int) -> FramePair:
        """Record `index`. InputError names a file that is missing or does not fit the others."""
        number, folder = self.numbers[index], self.root / self.split
        pictures = folder / f"image_{self.passes}"
        first, second = (
            np.asarray(read_picture(pictures / f"{n:07d}.png")) for n in (number, number + 1)
        )
        flow, valid = read_flow_png(folder / "flow_2d" / f"{number:07d}.png")
        maps = {"picture": first, "second picture": second, "flow_2d": flow}
        check_sizes(self.name(index), maps)
        valid &= np.sqrt(np.sum(np.square(flow), axis=-1)) < LARGEST_FLOW
        start, end, flow_3d, occluded = self._points(folder, f"{number:07d}")
        return FramePair(
            images=np.stack([first, second]),
            clouds=(start, end),
            camera=CAMERA,
            size=first.shape[:2],
            flow_2d=np.concatenate([flow, valid[..., None]], axis=-1, dtype=np.float32),
            flow_3d=flow_3d,
            occluded=occluded,
            name=self.name(index),
        )

    def _points(self, folder: Path, name: str) -> tuple[np.ndarray, ...]:
        """(first cloud, second cloud, scene flow, occlusion)."""
        files = [folder / "pc" / f"{name}.npz"]
        files += [folder / part / f"{name}.npy" for part in ("flow_3d", "occ_mask_3d")]
        clouds, flow, bits = (read_arrays(file) for file in files)
        for file, found, key in (
            (files[0], clouds, "pc1"),
            (files[0], clouds, "pc2"),
            (files[1], flow, ""),
        ):
            array = np.asarray(found.get(key, 0))
            if array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind != "f":
                raise InputError(f"{file}: expected floats [n, 3] {key}, got shape {array.shape}")
            if not np.isfinite(array).all(axis=1).any():
                raise InputError(
                    f"{file}: none of {len(array)} points has numbers in {key or 'the array'}"
                )
        packed = np.asarray(bits.get("", 0))
        start, moved = clouds["pc1"], flow[""]
        if moved.shape != start.shape:
            raise InputError(f"{files[1]}: shape {moved.shape}, expected {start.shape} as pc1")
        if packed.dtype != np.uint8 or packed.shape != (-(-len(start) // 8),):
            raise InputError(f"{files[2]}: expected a bit for each of {len(start)} points")
        occluded = np.unpackbits(packed, count=len(start)).astype(bool)
        known = np.isfinite(moved).all(axis=1)
        if not known.all():
            note(files[1], "points without a flow left out", f"{np.sum(~known)}")
            start, moved, occluded = start[known], moved[known], occluded[known]
        return start, clouds["pc2"], moved, occluded
