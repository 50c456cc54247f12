"""Inverse depth scaling: points of a perspective camera as a parallel one sees them (section 3.5).

Local offsets are divided by depth, so that near and far points are equally dense. x and y become
pixels of a sensor of a thirty-second of the picture's size, from its centre; z becomes f ln z.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

REDUCTION = 32
Camera = Float[Array, "b 3"]  # focal length and principal point, pixels


class Sensors(NamedTuple):
    """(height, width) of the perspective sensor, in pixels, and of the parallel one."""

    perspective: tuple[int, int]
    parallel: tuple[int, int]

    @classmethod
    def of(cls, perspective: tuple[int, int], picture: tuple[int, int]) -> "Sensors":
        """A parallel sensor of a thirty-second of `picture`, rounded half to even."""
        height, width = (round(side / REDUCTION) for side in picture)
        return cls(perspective, (height, width))

    @property
    def ratio(self) -> tuple[float, float]:
        """Parallel pixels a perspective pixel, in x and y."""
        (height, width), (small_height, small_width) = self
        return (small_width - 1) / (width - 1), (small_height - 1) / (height - 1)


def to_parallel(
    points: Float[Array, "b n 3"], camera: Camera, sensors: Sensors
) -> Float[Array, "b n 3"]:
    """Points in metres (z above 0) on the parallel sensor."""
    f, centre = camera[:, None, :1], camera[:, None, 1:]
    depth = points[..., 2:]
    (rw, rh), (height, width) = sensors.ratio, sensors.parallel
    pixels = centre + f / depth * points[..., :2]
    shift = jnp.asarray([(width - 1) / 2, (height - 1) / 2], points.dtype)
    across = pixels * jnp.asarray([rw, rh], points.dtype) - shift
    return jnp.concatenate([across, (f * jnp.log(depth) + 1) * min(rw, rh)], axis=-1)


def to_perspective(
    points: Float[Array, "b n 3"], camera: Camera, sensors: Sensors
) -> Float[Array, "b n 3"]:
    """The inverse of `to_parallel`."""
    f, centre = camera[:, None, :1], camera[:, None, 1:]
    (rw, rh), (height, width) = sensors.ratio, sensors.parallel
    shift = jnp.asarray([(width - 1) / 2, (height - 1) / 2], points.dtype)
    pixels = (points[..., :2] + shift) / jnp.asarray([rw, rh], points.dtype)
    depth = jnp.exp((points[..., 2:] / min(rw, rh) - 1) / f)
    return jnp.concatenate([(pixels - centre) * depth / f, depth], axis=-1)


def flow_to_perspective(
    points: Float[Array, "b n 3"],
    flow: Float[Array, "b n 3"],
    camera: Camera,
    sensors: Sensors,
) -> Float[Array, "b n 3"]:
    """Scene flow in metres of flow on the parallel sensor."""
    start = to_perspective(points, camera, sensors)
    return to_perspective(points + flow, camera, sensors) - start


def pixels_of_parallel(
    points: Float[Array, "b n 3"], sensors: Sensors, size: tuple[int, int]
) -> Float[Array, "b n 2"]:
    """Where points of the parallel sensor lie on a feature map of `size` (height, width)."""
    height, width = sensors.parallel
    shift = jnp.asarray([(width - 1) / 2, (height - 1) / 2], points.dtype)
    scale = jnp.asarray([(size[1] - 1) / (width - 1), (size[0] - 1) / (height - 1)], points.dtype)
    return (points[..., :2] + shift) * scale
