"""Made-up rooms seen by a colour and a depth camera: exact depth, no download.

A room is a box with boxes in it. What tells its kind is where the boxes stand: depth shows it as
distances, colour as edges and as the light of a lamp on surfaces that face it or do not. Paint,
photographs on it and the camera's place tell nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from jaxvision.data.pictures import Pictures, Pyramid

WALLS, FLOOR, CEILING, FURNITURE = range(4)  # what a surface is made of
MATERIALS = 4
MATERIAL_OF_SHELL = np.array([WALLS, WALLS, WALLS, WALLS, FLOOR, CEILING])  # by surface
PHOTO_STRENGTH = 0.35  # how strongly a photograph shows on paint
PIXELS_PER_METRE = 180.0  # of a photograph on a surface
# Light on every surface, the lamp's on one that faces it closely, and where that falls to half.
AMBIENT_LIGHT, LAMP_LIGHT, LAMP_REACH = 0.4, 1.1, 3.0  # metres
LAMP_DROP = 0.3  # of the lamp under the middle of the ceiling, metres

Boxes = Float[np.ndarray, "n 6"]  # (x0, y0, z0, x1, y1, z1) in metres; x right, y ahead, z up


@dataclass(frozen=True)
class Camera:
    """position: x, y, z (m).  yaw, pitch: radians, to the right and upwards.  side: of the square
    picture (px).  focal: in units of the side."""

    position: tuple[float, float, float]
    yaw: float
    pitch: float
    side: int
    focal: float = 0.8

    @property
    def intrinsics(self) -> Float[np.ndarray, "3 3"]:
        """The first pixel's centre is at 1, as `hha` counts."""
        length, centre = self.focal * self.side, (self.side + 1) / 2
        return np.array([[length, 0, centre], [0, length, centre], [0, 0, 1.0]])

    def rays(self) -> Float[np.ndarray, "side side 3"]:
        """World directions with one metre along the optical axis."""
        sin_yaw, cos_yaw = np.sin(self.yaw), np.cos(self.yaw)
        sin_pitch, cos_pitch = np.sin(self.pitch), np.cos(self.pitch)
        right = np.array([cos_yaw, -sin_yaw, 0])
        ahead = np.array([sin_yaw * cos_pitch, cos_yaw * cos_pitch, sin_pitch])
        down = np.cross(ahead, right)
        offset = (np.arange(self.side) + 0.5) / self.side - 0.5
        rows, columns = np.meshgrid(offset / self.focal, offset / self.focal, indexing="ij")
        return ahead + columns[..., None] * right + rows[..., None] * down


@dataclass(frozen=True)
class Room:
    """size: (width, length, height) in metres.  boxes: what stands in it."""

    size: tuple[float, float, float]
    boxes: Boxes

    def first_hits(
        self, camera: Camera
    ) -> tuple[Float[np.ndarray, "s s"], Int[np.ndarray, "s s"], Int[np.ndarray, "s s"]]:
        """(depth along the optical axis in metres, surface, axis that the surface is across) of
        every pixel. Surfaces 0 to 5 are the room's own, then three faces for each box."""
        origin, rays = np.asarray(camera.position), camera.rays()
        with np.errstate(divide="ignore", invalid="ignore"):
            walls = np.where(rays > 0, np.asarray(self.size) - origin, -origin) / rays
        walls = np.where(rays == 0, np.inf, walls)
        axis, depth = walls.argmin(-1), walls.min(-1)
        chosen = np.take_along_axis(rays, axis[..., None], -1)[..., 0]
        surface = 2 * axis + (chosen > 0)
        for number, box in enumerate(self.boxes):
            with np.errstate(divide="ignore", invalid="ignore"):
                low, high = (box[:3] - origin) / rays, (box[3:] - origin) / rays
            near = np.minimum(low, high)
            enter, leave = near.max(-1), np.maximum(low, high).min(-1)
            hit = (enter <= leave) & (enter > 0) & (enter < depth)
            depth = np.where(hit, enter, depth)
            axis = np.where(hit, near.argmax(-1), axis)
            surface = np.where(hit, 6 + 3 * number + near.argmax(-1), surface)
        return depth, surface, axis


def photograph(
    room: Room, camera: Camera, textures: list[Pyramid], rng: np.random.Generator
) -> tuple[UInt8[np.ndarray, "s s 3"], Float[np.ndarray, "s s"]]:
    """(RGB picture, depth in metres). Walls, floor, ceiling and furniture each wear a paint and a
    piece of one of `textures`, and are lit by a lamp (no shadows)."""
    depth, surface, axis = room.first_hits(camera)
    rays = camera.rays()
    points = np.asarray(camera.position) + depth[..., None] * rays
    shell = MATERIAL_OF_SHELL[np.minimum(surface, 5)]
    material = np.where(surface < 6, shell, FURNITURE)
    # A pixel sees this many of the photograph's pixels: so many times it was halved before.
    seen = depth / (camera.focal * camera.side) * PIXELS_PER_METRE
    halvings = np.maximum(np.rint(np.log2(seen)), 0).astype(int)
    colours = np.empty((*depth.shape, 3))
    for number in range(MATERIALS):
        photo, paint = textures[rng.integers(len(textures))], rng.uniform(90, 220, 3)
        start = rng.uniform(0, 1000, 2)
        for across in range(3):
            mask = (material == number) & (axis == across)
            places = np.delete(points[mask], across, axis=1) * PIXELS_PER_METRE + start
            texture = _looked_up(photo, places, halvings[mask])
            colours[mask] = PHOTO_STRENGTH * texture + (1 - PHOTO_STRENGTH) * paint
    exposure = rng.uniform(0.8, 1.2)
    lit = colours * (exposure * light(room, points, rays, axis))[..., None]
    return np.clip(np.rint(lit), 0, 255).astype(np.uint8), depth


def light(
    room: Room,
    points: Float[np.ndarray, "s s 3"],
    rays: Float[np.ndarray, "s s 3"],
    axis: Int[np.ndarray, "s s"],
) -> Float[np.ndarray, "s s"]:
    """What falls on matte surfaces at `points`, across `axis` and facing the camera's `rays`."""
    width, length, height = room.size
    to_lamp = np.array([width / 2, length / 2, height - LAMP_DROP]) - points
    distance = np.linalg.norm(to_lamp, axis=-1)
    along, ray = (np.take_along_axis(v, axis[..., None], -1)[..., 0] for v in (to_lamp, rays))
    facing = np.maximum(-np.sign(ray) * along / distance, 0)
    return AMBIENT_LIGHT + LAMP_LIGHT * facing / (1 + (distance / LAMP_REACH) ** 2)


def _looked_up(
    photo: Pyramid, places: Float[np.ndarray, "n 2"], halvings: Int[np.ndarray, " n"]
) -> UInt8[np.ndarray, "n 3"]:
    """Pixels of the endlessly mirrored photo at `places` (column, row in its full size), each in
    the level that was halved as often as `halvings` says, at most the last one."""
    found = np.empty((len(places), 3), np.uint8)
    levels = np.minimum(halvings, len(photo) - 1)
    for level in np.unique(levels):
        here = levels == level
        pixels = np.asarray(photo[level])
        columns, rows = (places[here] / 2**level).T
        found[here] = pixels[_mirrored(rows, pixels.shape[0]), _mirrored(columns, pixels.shape[1])]
    return found


def _mirrored(values: Float[np.ndarray, " n"], size: int) -> Int[np.ndarray, " n"]:
    """Places in a picture that repeats mirrored without end."""
    folded = np.floor(values).astype(int) % (2 * size)
    return np.where(folded < size, folded, 2 * size - 1 - folded)


def _box(corner: tuple[float, float, float], size: tuple[float, float, float]) -> list[float]:
    """A box by its corner of least coordinates (x, y, z) and its (width, length, height)."""
    return [*corner, *(start + side for start, side in zip(corner, size, strict=True))]


def _table(x: float, y: float, width: float, length: float, height: float) -> list[list[float]]:
    """A slab on two boards."""
    board = 0.06
    return [
        _box((x, y, height - board), (width, length, board)),
        _box((x, y, 0), (board, length, height - board)),
        _box((x + width - board, y, 0), (board, length, height - board)),
    ]


def _bedroom(draw: np.random.Generator) -> Room:
    width, length = draw.uniform(3.4, 4.4), draw.uniform(3.6, 4.6)
    bed = draw.uniform(1.4, 1.8)
    x = draw.uniform(0.4, width - bed - 0.4)
    return Room(
        (width, length, draw.uniform(2.4, 2.7)),
        np.array(
            [
                _box((x, length - 2.2, 0), (bed, 2.1, draw.uniform(0.4, 0.6))),
                _box((x, length - 0.12, 0), (bed, 0.12, draw.uniform(0.9, 1.2))),
                _box((x + 0.15, length - 0.6, 0.5), (bed - 0.3, 0.4, 0.2)),
            ]
        ),
    )


def _classroom(draw: np.random.Generator) -> Room:
    width, length = draw.uniform(6, 7.5), draw.uniform(7, 9)
    rows, step = 3, draw.uniform(1.5, 1.8)
    boxes: list[list[float]] = []
    for row in range(rows):
        for column in range(3):
            x = 0.6 + column * (width - 1.2) / 3
            boxes += _table(x, 2.2 + row * step, 1.2, 0.5, 0.75)
    return Room((width, length, draw.uniform(2.8, 3.3)), np.array(boxes))


def _corridor(draw: np.random.Generator) -> Room:
    width, length = draw.uniform(1.6, 2.2), draw.uniform(10, 15)
    places = np.sort(draw.uniform(3, length - 1, 3))
    boxes = [
        _box((0 if n % 2 else width - 0.08, y, 0), (0.08, 0.9, 2.05)) for n, y in enumerate(places)
    ]
    return Room((width, length, draw.uniform(2.3, 2.6)), np.array(boxes))


def _kitchen(draw: np.random.Generator) -> Room:
    width, length = draw.uniform(2.8, 3.8), draw.uniform(3.2, 4.2)
    return Room(
        (width, length, draw.uniform(2.4, 2.7)),
        np.array(
            [
                _box((0, 1.0, 0), (0.6, length - 1.0, 0.9)),
                _box((0, 1.0, 1.5), (0.35, length - 1.0, 0.7)),
                _box((0.6, length - 0.6, 0), (width - 0.6, 0.6, 0.9)),
                _box((width - 0.7, length - 0.7, 0), (0.7, 0.7, draw.uniform(1.8, 2.1))),
            ]
        ),
    )


def _library(draw: np.random.Generator) -> Room:
    width, length = draw.uniform(5, 6.5), draw.uniform(6, 8)
    height = draw.uniform(1.9, 2.2)
    rows, side = np.arange(2.4, length - 0.5, 1.3), width * 0.4
    boxes = [_box((0.3, y, 0), (side, 0.35, height)) for y in rows]
    boxes += [_box((width * 0.6, y, 0), (side - 0.3, 0.35, height)) for y in rows]
    return Room((width, length, draw.uniform(2.8, 3.4)), np.array(boxes))


def _staircase(draw: np.random.Generator) -> Room:
    width, length = draw.uniform(2.4, 3.2), draw.uniform(5, 6.5)
    rise, tread, first = draw.uniform(0.16, 0.2), draw.uniform(0.26, 0.32), draw.uniform(1.6, 2.2)
    steps = int(min(12, (length - first) / tread))
    boxes = [
        _box((0, first + n * tread, n * rise), (width, length - first - n * tread, rise))
        for n in range(steps)
    ]
    return Room((width, length, draw.uniform(3.4, 4.0)), np.array(boxes))


KINDS: dict[str, Callable[[np.random.Generator], Room]] = {
    "bedroom": _bedroom,
    "classroom": _classroom,
    "corridor": _corridor,
    "kitchen": _kitchen,
    "library": _library,
    "staircase": _staircase,
}


def draw_room(rng: np.random.Generator, kind: str, side: int) -> tuple[Room, Camera]:
    """A room of one of KINDS, and a camera near its front wall that looks into it."""
    room = KINDS[kind](rng)
    width, _, height = room.size
    camera = Camera(
        (rng.uniform(0.3, 0.7) * width, rng.uniform(0.15, 0.5), rng.uniform(1.2, min(1.8, height))),
        yaw=rng.uniform(-0.35, 0.35),
        pitch=rng.uniform(-0.35, 0.0),
        side=side,
    )
    return room, camera


@dataclass(frozen=True)
class RoomPictures:
    """Records {"rgb": uint8 [s, s, 3], "depth": metres [s, s], "intrinsics": [3, 3], "label"} of
    `count` rooms, kinds in turn; record i is the same room every time.

    textures: the photographs on the surfaces.  seed: of the rooms.
    """

    count: int
    side: int
    textures: Pictures
    seed: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        rng = np.random.default_rng((self.seed, index))
        label = index % len(KINDS)
        room, camera = draw_room(rng, list(KINDS)[label], self.side)
        textures = [self.textures[number] for number in range(len(self.textures))]
        rgb, depth = photograph(room, camera, textures, rng)
        return {
            "rgb": rgb,
            "depth": depth.astype(np.float32),
            "intrinsics": camera.intrinsics,
            "label": np.int32(label),
        }

    def name(self, index: int) -> str:
        return f"room {index} ({list(KINDS)[index % len(KINDS)]})"
