"""A virtual camera over a still picture: clips whose motion is known exactly, at any time.

Coordinates are continuous (x, y) in pixels with edges at integers: the first pixel's centre is
(0.5, 0.5).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from jaxvision.data.pictures import Pyramid
from jaxvision.errors import InputError

# The kinds of camera motion, in the words of film, and the directions of each.
KINDS = {
    "static": ("static",),
    "pan": ("pan left", "pan right"),
    "tilt": ("tilt up", "tilt down"),
    "zoom": ("zoom in", "zoom out"),
    "roll": ("roll left", "roll right"),
}
MOTIONS = tuple(motion for kind in KINDS.values() for motion in kind)
DIRECTIONS = {"pan left": (-1, 0), "pan right": (1, 0), "tilt up": (0, -1), "tilt down": (0, 1)}

# How far a camera of speed 1 goes during a clip.
PAN = (0.4, 0.7)  # of the view's shorter side
ZOOM = (0.4, 0.7)  # natural logarithm of the change of scale
ROLL = (0.5, 0.9)  # radians


@dataclass(frozen=True)
class CameraPath:
    """Where the camera is at each time in [0, 1]; every rate is the change over the whole clip.

    view: (height, width) of the frames.  centre: (x, y) on the picture at time 0.5.
    scale: picture pixels per frame pixel at time 0.5.  angle: radians.
    """

    view: tuple[int, int]
    centre: tuple[float, float]
    scale: float
    angle: float = 0.0
    pan: tuple[float, float] = (0.0, 0.0)
    zoom: float = 0.0  # of log(scale)
    roll: float = 0.0

    def matrix(self, time: float) -> Float[np.ndarray, "3 3"]:
        """Frame coordinates at `time` -> picture coordinates, homogeneous."""
        step = time - 0.5
        scale = self.scale * np.exp(self.zoom * step)
        angle = self.angle + self.roll * step
        cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
        rotation = np.array([[cosine, -sine], [sine, cosine]])
        centre = np.asarray(self.centre) + np.asarray(self.pan) * step
        height, width = self.view
        matrix = np.eye(3)
        matrix[:2, :2] = rotation
        matrix[:2, 2] = centre - rotation @ (width / 2, height / 2)
        return matrix

    def frame(self, picture: Pyramid, time: float) -> UInt8[np.ndarray, "h w 3"]:
        """What the camera sees at `time` (bicubic, from the level nearest above its scale)."""
        matrix = self.matrix(time)
        scale = np.sqrt(abs(np.linalg.det(matrix)))
        level = int(np.clip(np.log2(max(scale, 1)), 0, len(picture) - 1))
        coefficients = (matrix[:2] / 2**level).ravel()
        height, width = self.view
        image = picture[level].transform(
            (width, height),
            Image.Transform.AFFINE,
            tuple(coefficients),
            resample=Image.Resampling.BICUBIC,
        )
        return np.asarray(image)

    def clip(self, picture: Pyramid, times: Sequence[float]) -> UInt8[np.ndarray, "t h w 3"]:
        """The frames at `times`."""
        return np.stack([self.frame(picture, time) for time in times])

    def flow(self, source: float, target: float) -> Float[np.ndarray, "h w 2"]:
        """Optical flow (x, y) in pixels from the frame at time `source` to that at `target`."""
        height, width = self.view
        y, x = np.mgrid[:height, :width] + 0.5
        points = np.stack([x, y, np.ones_like(x)], axis=-1)
        moved = points @ (np.linalg.inv(self.matrix(target)) @ self.matrix(source)).T
        return (moved - points)[..., :2].astype(np.float32)


def draw_path(
    rng: np.random.Generator,
    motion: str,
    picture_size: tuple[int, int],
    view: tuple[int, int],
    speed: float = 1.0,
    reach: tuple[float, float] = (0.5, 1.0),
) -> CameraPath:
    """A random path of one of MOTIONS that never leaves the picture.

    picture_size: (width, height).  view: (height, width).  speed: 1 crosses about half the view.
    reach: how much of the picture the path takes in, from and to, as a share of the most it could.
    InputError for a picture too small.
    """
    sign = -1.0 if motion in ("zoom in", "roll left") else 1.0
    direction = np.array(DIRECTIONS.get(motion, (0, 0)))
    pan = speed * rng.uniform(*PAN) * min(view)
    zoom = speed * sign * rng.uniform(*ZOOM) if motion.startswith("zoom") else 0.0
    roll = speed * sign * rng.uniform(*ROLL) if motion.startswith("roll") else 0.0
    # Half the space the camera needs along (x, y) at scale 1, whichever way it is turned.
    needed = np.hypot(*view) / 2 * np.exp(abs(zoom) / 2) + np.abs(direction) * pan / 2
    largest = float(np.min(np.array(picture_size) / 2 / needed))
    if largest < 0.25:
        raise InputError(f"a picture of {picture_size} is too small for a view of {view}")
    scale = largest * rng.uniform(*reach)
    margin = np.maximum(np.array(picture_size) / 2 - needed * scale, 0)
    centre = np.array(picture_size) / 2 + rng.uniform(-1, 1, 2) * margin
    return CameraPath(
        view=view,
        centre=(float(centre[0]), float(centre[1])),
        scale=scale,
        angle=rng.uniform(-0.2, 0.2),
        pan=tuple(direction * pan * scale),
        zoom=zoom,
        roll=roll,
    )
