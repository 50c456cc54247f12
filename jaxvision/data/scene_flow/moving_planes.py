"""Made-up pairs of frames: photographs on planes that move rigidly before a camera, ray-cast, so
that flow, depth, scene flow and occlusion are exact. Nothing has to be downloaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image

from jaxvision.data.flow_files import write_flo, write_pfm
from jaxvision.data.pictures import Pictures, Pyramid
from jaxvision.data.scene_flow.flying_things import CAMERA
from jaxvision.data.scene_flow.frames import FramePair
from jaxvision.data.scene_flow.geometry import Camera, project

NEARER = 1e-3  # metres by which one surface hides another


class Plane(NamedTuple):
    """A rectangle. centre: metres.  axes: two unit vectors along its sides.  half: half of its
    sides' lengths, metres.  texture: over the whole of it."""

    centre: Float[np.ndarray, " 3"]
    axes: Float[np.ndarray, "2 3"]
    half: Float[np.ndarray, " 2"]
    texture: UInt8[np.ndarray, "th tw 3"]

    def moved(self, rotation: Float[np.ndarray, "3 3"], shift: Float[np.ndarray, " 3"]) -> "Plane":
        """Turned about its centre, then shifted."""
        return self._replace(centre=self.centre + shift, axes=self.axes @ rotation.T)


class Hits(NamedTuple):
    """What rays meet. plane: its number, -1 for nothing.  depth: metres along z.  place: along the
    plane's axes, metres from its centre."""

    plane: Int[np.ndarray, " n"]
    depth: Float[np.ndarray, " n"]
    place: Float[np.ndarray, "n 2"]


def cast(planes: Sequence[Plane], pixels: Float[np.ndarray, "n 2"], camera: Camera) -> Hits:
    """The nearest plane along the ray of each pixel."""
    across, down = ((pixels - [camera.cx, camera.cy]) / camera.f).T
    found = Hits(np.full(len(pixels), -1), np.full(len(pixels), np.inf), np.zeros((len(pixels), 2)))
    for number, plane in enumerate(planes):
        near = np.flatnonzero(_may_meet(plane, across, down))
        rays = np.stack([across[near], down[near], np.ones(len(near))])
        normal = np.cross(*plane.axes)
        facing, x, y = np.stack([normal, *plane.axes]) @ rays
        start_x, start_y = plane.axes @ plane.centre
        # A ray along the plane has no depth, or NaN, and passes no test below.
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = (normal @ plane.centre) / facing
            x, y = x * depth - start_x, y * depth - start_y
        inside = (np.abs(x) <= plane.half[0]) & (np.abs(y) <= plane.half[1])
        first = np.flatnonzero(inside & (depth > 0) & (depth < found.depth[near]))
        met = near[first]
        found.plane[met], found.depth[met] = number, depth[first]
        found.place[met] = np.stack([x[first], y[first]], axis=1)
    return found


def _may_meet(
    plane: Plane, across: Float[np.ndarray, " n"], down: Float[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Which rays pass within the bounds of the plane's corners: most of a picture's do not."""
    signs = np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)])
    corners = plane.centre + (signs * plane.half) @ plane.axes
    if corners[:, 2].min() <= 0:
        return np.ones(len(across), bool)
    seen = corners[:, :2] / corners[:, 2:]
    (left, top), (right, bottom) = seen.min(0), seen.max(0)
    return (across >= left) & (across <= right) & (down >= top) & (down <= bottom)


def points_on(planes: Sequence[Plane], hits: Hits) -> Float[np.ndarray, "n 3"]:
    """Where the met places of planes lie, or lie once the planes have moved."""
    centres = np.stack([plane.centre for plane in planes])[hits.plane]
    axes = np.stack([plane.axes for plane in planes])[hits.plane]
    return centres + np.einsum("na,nac->nc", hits.place, axes)


def grid(size: tuple[int, int]) -> Float[np.ndarray, "n 2"]:
    """Pixels of a picture of (height, width), row by row."""
    x, y = np.meshgrid(np.arange(size[1]), np.arange(size[0]))
    return np.stack([x, y], axis=-1).reshape(-1, 2).astype(float)


def picture_of(
    planes: Sequence[Plane], hits: Hits, size: tuple[int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    """What the camera sees along the rays of all pixels; black where there is nothing. A ray a
    pixel: textures are hardly finer than that."""
    colours = np.zeros((len(hits.plane), 3), np.uint8)
    for number, plane in enumerate(planes):
        met = np.flatnonzero(hits.plane == number)
        colours[met] = _texture_at(plane, hits.place[met])
    return colours.reshape(*size, 3)


def _texture_at(plane: Plane, place: Float[np.ndarray, "n 2"]) -> UInt8[np.ndarray, "n 3"]:
    """Bilinear."""
    height, width = plane.texture.shape[:2]
    texels = plane.texture.reshape(-1, 3)
    last = np.array([width, height]) - 1
    at = ((place / plane.half + 1) / 2 * last).astype(np.float32)
    low = np.clip(np.floor(at).astype(int), 0, np.maximum(last - 1, 0))
    share = np.clip(at - low, 0, 1).astype(np.float32)
    result = np.full((len(place), 3), 0.5, np.float32)  # rounds
    for step_x, across in ((0, 1 - share[:, :1]), (1, share[:, :1])):
        for step_y, down in ((0, 1 - share[:, 1:]), (1, share[:, 1:])):
            x, y = np.minimum(low + np.array([step_x, step_y]), last).T
            result += texels.take(y * width + x, axis=0) * (across * down)
    return result.astype(np.uint8)


class Truth(NamedTuple):
    """Of the first frame's pixels. depth: metres.  depth_2: of the same place in the second frame.
    flow: pixels.  occluded: hidden or outside there."""

    depth: Float[np.ndarray, "h w"]
    depth_2: Float[np.ndarray, "h w"]
    flow: Float[np.ndarray, "h w 2"]
    flow_3d: Float[np.ndarray, "h w 3"]
    occluded: Bool[np.ndarray, "h w"]


def truth_of(
    before: Sequence[Plane],
    after: Sequence[Plane],
    hits: Hits,
    camera: Camera,
    size: tuple[int, int],
) -> Truth:
    """How the planes of `before` move to those of `after`. hits: of the pixels' rays with the
    former; every one must meet one."""
    pixels = grid(size)
    start, end = points_on(before, hits), points_on(after, hits)
    seen = project(end, camera)
    hidden = cast(after, seen, camera).depth < end[:, 2] - NEARER
    outside = ((seen < -0.5) | (seen > np.asarray(size[::-1]) - 0.5)).any(axis=1)

    def shaped(x: np.ndarray) -> np.ndarray:
        return x.reshape(*size, *x.shape[1:]).astype(np.float32)

    return Truth(
        shaped(start[:, 2]),
        shaped(end[:, 2]),
        shaped(seen - pixels),
        shaped(end - start),
        (hidden | outside).reshape(size),
    )


@dataclass(frozen=True)
class MovingPlanes:
    """Pairs by number: the same number gives the same pair.

    pictures: photographs for the planes.  size: height and width of the frames.  planes: before the
    background.  speed: factor on how far they move and turn.
    """

    pictures: Pictures
    size: tuple[int, int]
    count: int
    planes: int = 4
    speed: float = 1.0
    seed: int = 0

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        return f"planes/{index}"

    @property
    def camera(self) -> Camera:
        """Sees a field of view of about 50 degrees."""
        height, width = self.size
        return Camera(1.05 * width, (width - 1) / 2, (height - 1) / 2)

    def scene(self, index: int) -> tuple[list[Plane], list[Plane]]:
        """Planes of the first and of the second frame."""
        draws = np.random.RandomState((self.seed * 1_000_003 + index) % (1 << 32))
        aspect = self.size[0] / self.size[1]
        # The camera sees a third of the wall's sides: each time another part of a photograph.
        across, down = draws.uniform(-16, 16, 2)
        wall = self._plane(draws, np.array([across, down * aspect, 28.0]), 40.0, 0.05)
        before = [wall._replace(half=np.array([40.0, 40.0 * max(aspect, 0.75)]))]
        for _ in range(self.planes):
            depth = draws.uniform(6, 20)
            reach = 0.38 * depth
            centre = np.array(
                [draws.uniform(-reach, reach), draws.uniform(-reach, reach) * aspect, depth]
            )
            before.append(self._plane(draws, centre, depth * draws.uniform(0.08, 0.22), 0.5))
        after = []
        for plane in before:
            turn = draws.uniform(-0.03, 0.03, 3) * self.speed
            shift = draws.uniform(-0.03, 0.03, 3) * plane.centre[2] * self.speed
            after.append(plane.moved(rotation(turn), shift))
        return before, after

    def _plane(
        self, draws: np.random.RandomState, centre: np.ndarray, half: float, tilt: float
    ) -> Plane:
        axes = np.eye(3)[:2] @ rotation(draws.uniform(-tilt, tilt, 3)).T
        pyramid: Pyramid = self.pictures[draws.randint(len(self.pictures))]
        wanted = 2 * half / centre[2] * self.camera.f  # pixels across
        fitting = [level for level in pyramid if level.width >= wanted] or [pyramid[0]]
        texture = np.asarray(fitting[-1].convert("RGB"))
        sides = np.array([1.0, texture.shape[0] / texture.shape[1]])
        return Plane(centre, axes, half * sides, texture)

    def __getitem__(self, index: int) -> FramePair:
        """A cloud holds every pixel of its frame. `flow_3d` and `flow_2d` are valid everywhere."""
        scene, pixels = self.scene(index), grid(self.size)
        hits = [cast(planes, pixels, self.camera) for planes in scene]
        truth = truth_of(*scene, hits[0], self.camera, self.size)
        valid = np.ones((*self.size, 1), np.float32)
        pictures = [picture_of(p, h, self.size) for p, h in zip(scene, hits, strict=True)]
        first, second = (points_on(p, h) for p, h in zip(scene, hits, strict=True))
        return FramePair(
            images=np.stack(pictures),
            clouds=(first.astype(np.float32), second.astype(np.float32)),
            camera=self.camera,
            size=self.size,
            flow_2d=np.concatenate([truth.flow, valid], axis=-1),
            flow_3d=np.concatenate([truth.flow_3d, valid], axis=-1).reshape(-1, 4),
            occluded=truth.occluded.reshape(-1),
            name=self.name(index),
        )


def rotation(turn: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "3 3"]:
    """About x, then y, then z, in radians."""
    result = np.eye(3)
    for axis, angle in enumerate(turn):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        step = np.eye(3)
        step[first, first] = step[second, second] = np.cos(angle)
        step[second, first], step[first, second] = np.sin(angle), -np.sin(angle)
        result = step @ result
    return result


def write_as_flying_things(
    root: Path,
    scene: tuple[Sequence[Plane], Sequence[Plane]],
    number: int,
    *,
    size: tuple[int, int],
) -> None:
    """A pair as frames `number` and `number` + 1 of the raw subset, seen by its camera, whose
    centre is that of 540 x 960 pixels: `prepare_things` reads it. root: a split's folder."""
    camera = CAMERA
    hits = [cast(planes, grid(size), camera) for planes in scene]
    truth = truth_of(*scene, hits[0], camera, size)
    back = hits[1].depth.reshape(size)
    into, name, following = "left/into_future", f"{number:07d}", f"{number + 1:07d}"
    first = camera.f / truth.depth
    for part, file, values in (
        ("disparity/left", name, first),
        ("disparity/left", following, camera.f / back),
        (f"disparity_change/{into}", name, camera.f / truth.depth_2 - first),
    ):
        (root / part).mkdir(parents=True, exist_ok=True)
        write_pfm(root / part / f"{file}.pfm", -values)
    for part in (f"flow/{into}", f"flow_occlusions/{into}", "image_clean/left"):
        (root / part).mkdir(parents=True, exist_ok=True)
    write_flo(root / f"flow/{into}/{name}.flo", truth.flow)
    hidden = Image.fromarray(truth.occluded.astype(np.uint8) * 255)
    hidden.save(root / f"flow_occlusions/{into}/{name}.png")
    for file, planes, met in zip((name, following), scene, hits, strict=True):
        picture = picture_of(planes, met, size)
        Image.fromarray(picture).save(root / f"image_clean/left/{file}.png")
