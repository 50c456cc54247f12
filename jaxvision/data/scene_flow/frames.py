"""A pair of frames with its clouds and truth, and drawing as many points as a network takes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from jaxvision.data.conversions import note
from jaxvision.data.scene_flow.geometry import Camera, pad_to
from jaxvision.errors import InputError


@dataclass(frozen=True, kw_only=True)
class FramePair:
    """images: both frames, RGB.  clouds: points of each frame, of any number.
    flow_2d: u, v in pixels, and validity.  flow_3d: dx, dy, dz in metres of the first cloud's
    points, and validity where there is a fourth column.  occluded: of the first cloud's points.
    size: height and width before padding.  name: for people.  None for what a data set does not
    have."""

    images: UInt8[np.ndarray, "2 h w 3"]
    clouds: tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "m 3"]]
    camera: Camera
    size: tuple[int, int]
    flow_2d: Float[np.ndarray, "h w c"] | None = None
    flow_3d: Float[np.ndarray, "n d"] | None = None
    occluded: Bool[np.ndarray, " n"] | None = None
    name: str = ""

    def take(self, first: Int[np.ndarray, " k"], second: Int[np.ndarray, " k"]) -> "FramePair":
        """Those points of the two clouds, with their truth."""
        return replace(
            self,
            clouds=(self.clouds[0][first], self.clouds[1][second]),
            flow_3d=None if self.flow_3d is None else self.flow_3d[first],
            occluded=None if self.occluded is None else self.occluded[first],
        )

    def padded(self, size: tuple[int, int]) -> "FramePair":
        """Zeros below and to the right of the frames and of the flow."""
        images = np.stack([pad_to(image, size) for image in self.images])
        flow = None if self.flow_2d is None else pad_to(self.flow_2d, size)
        return replace(self, images=images, flow_2d=flow)


def drop_unusable(pair: FramePair) -> FramePair:
    """Without points that are no numbers or lie behind the camera, which it says. Nothing could
    project them."""
    kept = [np.flatnonzero(np.isfinite(c).all(axis=1) & (c[:, 2] > 0)) for c in pair.clouds]
    dropped = sum(len(cloud) - len(k) for cloud, k in zip(pair.clouds, kept, strict=True))
    if not dropped:
        return pair
    note(pair.name, "points that are no numbers or not before the camera left out", f"{dropped}")
    return pair.take(*kept)


def draw_points(pair: FramePair, count: int, draws: np.random.RandomState) -> FramePair:
    """`count` points of each cloud, drawn one cloud after the other, without replacement unless
    there are fewer, which it says. InputError where a cloud is empty."""
    fewest = min(len(cloud) for cloud in pair.clouds)
    if not fewest:
        number = min(range(2), key=lambda n: len(pair.clouds[n]))
        frame = ("first", "second")[number]
        raise InputError(
            f"{pair.name}: the {frame} frame has no points left (numbers, before the camera, near "
            f"enough), expected some to draw {count} of"
        )
    if fewest < count:
        note_repeated(pair.name, fewest, count)
    return pair.take(*(draw(len(cloud), count, draws) for cloud in pair.clouds))


def note_repeated(name: str, fewest: int, count: int) -> None:
    note(name, "points repeated, as there are too few", f"{fewest} of {count}")


def draw(size: int, count: int, draws: np.random.RandomState) -> Int[np.ndarray, " {count}"]:
    """`count` places of `size`, above 0, without replacement unless there are fewer."""
    return draws.choice(size, size=count, replace=size < count)


def check_sizes(name: str, maps: Mapping[str, np.ndarray]) -> None:
    """InputError where maps of one frame differ in height or width. name: of the record."""
    sizes = {part: array.shape[:2] for part, array in maps.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{part} {size[0]} x {size[1]}" for part, size in sizes.items())
        raise InputError(f"{name}: expected maps of one size, got {told}")
