"""The FlyingThings3D subset from its owner's files into CamLiFlow's layout (`flying_things`).

SRC/{train,val}/image_clean/left/%07d.png, disparity/left/%07d.pfm, disparity_change/left/
into_future/%07d.pfm, flow/left/into_future/%07d.flo, flow_occlusions/left/into_future/%07d.png.
Disparities are stored negative there.
"""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from jaxvision.data.atomic_write import atomic_write
from jaxvision.data.flow_files import encode_flow, read_flo, write_deep_png
from jaxvision.data.picture_files import read_picture, read_stored
from jaxvision.data.scene_flow.driving import read_disparity, read_grey
from jaxvision.data.scene_flow.flying_things import CAMERA
from jaxvision.data.scene_flow.frames import check_sizes
from jaxvision.data.scene_flow.geometry import lift_disparity
from jaxvision.data.shards import WHOLE, Shard
from jaxvision.errors import InputError

BASELINE, FARTHEST, FASTEST = 1.0, 35.0, 500.0  # metres, metres, pixels in u or v
POINTS = {"train": 32768, "val": 8192}  # of each cloud, at most


class RawFrame(NamedTuple):
    """Disparities in pixels, above 0; change: of the first frame's pixels into the second."""

    first: Float[np.ndarray, "h w"]
    second: Float[np.ndarray, "h w"]
    change: Float[np.ndarray, "h w"]
    flow: Float[np.ndarray, "h w 2"]
    occluded: Bool[np.ndarray, "h w"]


class Clouds(NamedTuple):
    """Points drawn of both frames; flow and occluded: of the first one's."""

    first: Float[np.ndarray, "n 3"]
    second: Float[np.ndarray, "m 3"]
    flow: Float[np.ndarray, "n 3"]
    occluded: Bool[np.ndarray, " n"]


class Outcome(NamedTuple):
    """What became of a frame: `reason` says why it was left out, "" if it was not."""

    name: str
    reason: str


def clouds_of(frame: RawFrame, points: int, without_occluded: bool) -> Clouds:
    """Points nearer than 35 m, at most `points` of each frame, drawn from seed 0.

    without_occluded: the second cloud is the first one moved, both near, without occluded pixels.
    InputError where nothing is left.
    """
    draws = np.random.RandomState(0)
    start = lift_disparity(frame.first, CAMERA, BASELINE)
    end = lift_disparity(frame.first + frame.change, CAMERA, BASELINE, frame.flow)
    other = end if without_occluded else lift_disparity(frame.second, CAMERA, BASELINE)
    kept = [_near(start), _near(other)]
    kept[0] &= np.isfinite(end).all(axis=-1)
    if without_occluded:
        kept = [kept[0] & kept[1] & ~frame.occluded] * 2
    counts = [int(mask.sum()) for mask in kept]
    if not all(counts):
        raise InputError(f"no point nearer than {FARTHEST:g} m in one of the frames")
    chosen = draws.choice(counts[0], min(points, counts[0]), replace=False)
    others = chosen
    if not without_occluded:
        others = draws.choice(counts[1], min(points, counts[1]), replace=False)
    return Clouds(
        start[kept[0]][chosen],
        other[kept[1]][others],
        (end - start)[kept[0]][chosen],
        frame.occluded[kept[0]][chosen],
    )


def _near(points: Float[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    depth = points[..., 2]
    return np.isfinite(points).all(axis=-1) & (depth > 0) & (depth < FARTHEST)


@dataclass(frozen=True)
class ThingsPreparation:
    """source, target: folders that hold `train` and `val`."""

    source: Path
    target: Path
    without_occluded: bool = False

    def __post_init__(self) -> None:
        if self.source.resolve() == self.target.resolve():
            raise InputError(f"{self.target}: expected another folder than that of the source")

    def frames(self) -> list[tuple[str, int]]:
        """(split, number) of the frames with flow into the next one. InputError where none is."""
        found = []
        for split in POINTS:
            folder = self.source / split / "flow/left/into_future"
            numbers = sorted(int(p.stem) for p in folder.glob("*.flo") if p.stem.isdecimal())
            found += [(split, number) for number in numbers]
        if not found:
            raise InputError(
                f"{self.source}: no train/flow/left/into_future/0000000.flo, nor one of val"
            )
        return found

    def run(self, workers: int = 0, shard: Shard = WHOLE) -> Iterator[Outcome]:
        """Every frame of a shard, in order; those that are there already are kept."""
        frames, workers = shard.of(self.frames()), workers or os.cpu_count() or 1
        # Not forked: JAX's threads do not survive it.
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            yield from pool.map(partial(_attempt, self), frames, chunksize=4)

    def read(self, split: str, number: int) -> RawFrame:
        """A frame's files; its two pictures are decoded, too, though only copied later. InputError
        names one that is missing, does not decode, has no usable value or another size."""
        root, name = self.source / split, f"{number:07d}"
        into = "left/into_future"
        numbers = (number, number + 1)
        first, second = (read_disparity(root / f"disparity/left/{n:07d}.pfm", -1) for n in numbers)
        change = -read_grey(root / f"disparity_change/{into}/{name}.pfm")
        flow = read_flo(root / f"flow/{into}/{name}.flo")
        if not np.isfinite(flow).all(axis=-1).any():
            raise InputError(f"{root}/flow/{into}/{name}.flo: no value is a number")
        occluded = read_stored(root / f"flow_occlusions/{into}/{name}.png")
        if occluded.ndim != 2:
            occluded = occluded[..., 0]
        frame = RawFrame(first, second, change, flow, occluded > 1)
        pictures = {
            file: np.asarray(read_picture(root / file))
            for file in (f"image_clean/left/{n:07d}.png" for n in numbers)
        }
        check_sizes(f"{split}/{name}", frame._asdict() | pictures)
        return frame

    def prepare(self, split: str, number: int) -> None:
        """Write a frame's files; its flow comes last, since a frame with flow counts as whole."""
        frame, folder = self.read(split, number), self.target / split
        clouds = clouds_of(frame, POINTS[split], self.without_occluded)
        for part in ("image_clean", "flow_2d", "pc", "flow_3d", "occ_mask_3d", "occ_mask_2d"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        name, following = f"{number:07d}", f"{number + 1:07d}"
        for picture in (name, following):  # the second also where the next frame is left out
            # The next frame may be copying it at the same time: each has a name of its own.
            own = folder / f"image_clean/{picture}.png.{name}"
            with atomic_write(own) as temporary:
                shutil.copyfile(self.source / split / f"image_clean/left/{picture}.png", temporary)
            own.replace(folder / f"image_clean/{picture}.png")
        np.savez(folder / f"pc/{name}.npz", pc1=clouds.first, pc2=clouds.second)
        np.save(folder / f"flow_3d/{name}.npy", clouds.flow)
        np.save(folder / f"occ_mask_3d/{name}.npy", np.packbits(clouds.occluded))
        occluded = Image.fromarray(frame.occluded.astype(np.uint8) * 255)
        occluded.save(folder / f"occ_mask_2d/{name}.png")
        slow = (np.abs(frame.flow) < FASTEST).all(axis=-1)
        flow = np.where(slow[..., None], frame.flow, 0)
        stored = encode_flow(flow, slow, keep_invalid=True)
        write_deep_png(folder / f"flow_2d/{name}.png", stored)


def _attempt(work: ThingsPreparation, frame: tuple[str, int]) -> Outcome:
    split, number = frame
    name = f"{split}/{number:07d}"
    if (work.target / split / "flow_2d" / f"{number:07d}.png").exists():
        return Outcome(name, "")
    try:
        work.prepare(split, number)
    except (InputError, OSError) as error:
        return Outcome(name, str(error))
    return Outcome(name, "")
