"""Six networks from pictures and clouds to flow (CamLiFlow, 2303.12017)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Int, UInt8

from jaxvision.errors import InputError
from jaxvision.methods.camliflow import pwc, raft
from jaxvision.methods.camliflow.inverse_depth import (
    Sensors,
    flow_to_perspective,
    to_parallel,
)
from jaxvision.methods.camliflow.variants import PwcConfig, RaftConfig
from jaxvision.ops.furthest_point_sampling import furthest_point_sampling
from jaxvision.ops.grouping import group_points
from jaxvision.ops.image_sampling import resize_aligned, resize_flow

# The sensor that networks without images assume whatever the data.
POINT_SENSOR = (540, 960)
IMAGENET_MEAN = np.array([123.675, 116.28, 103.53], np.float32)
IMAGENET_STD = np.array([58.395, 57.12, 57.375], np.float32)


class DomainShift(NamedTuple):
    """Mean and deviation of clouds after inverse depth scaling, of the data at hand (source) and of
    the data that a network was trained on (target)."""

    source_mean: Float[Array, "b 3"]
    source_std: Float[Array, "b 3"]
    target_mean: Float[Array, "b 3"]
    target_std: Float[Array, "b 3"]

    def forward(self, points: Float[Array, "b n 3"]) -> Float[Array, "b n 3"]:
        unit = (points - self.source_mean[:, None]) / self.source_std[:, None]
        return unit * self.target_std[:, None] + self.target_mean[:, None]

    def back(self, points: Float[Array, "b n 3"]) -> Float[Array, "b n 3"]:
        unit = (points - self.target_mean[:, None]) / self.target_std[:, None]
        return unit * self.source_std[:, None] + self.source_mean[:, None]


class FlowInputs(NamedTuple):
    """Two frames and two clouds; None for what a network has no branch for.

    images: RGB, 0 to 255.  clouds: metres, z above 0, as many points in both, at least those of the
    pyramid's first level.  camera: focal length and principal point of the images, in pixels.
    shift: for networks without images, of other data than they were trained on.
    """

    images: Float[Array, "b 2 h w 3"] | UInt8[Array, "b 2 h w 3"] | None = None
    clouds: Float[Array, "b 2 n 3"] | None = None
    camera: Float[Array, "b 3"] | None = None
    shift: DomainShift | None = None


class Prediction(NamedTuple):
    """flow_2d: pixels of the image at its own size.  flow_3d: metres.  Both of every iteration in
    order (RAFT), or of every level from the finest on, of its own size (PWC); `final_2d` and
    `final_3d` are the answers.  in_network: flow_3d in the network's coordinates.
    samples: which points each level below the whole cloud holds (PWC)."""

    flow_2d: tuple[Float[Array, "b h w 2"], ...]
    flow_3d: tuple[Float[Array, "b n 3"], ...]
    in_network: tuple[Float[Array, "b n 3"], ...]
    final_2d: Float[Array, "b h w 2"] | None
    final_3d: Float[Array, "b n 3"] | None
    samples: Int[Array, "b n"] | None


class _Clouds(NamedTuple):
    """Pyramids of both clouds in the network's coordinates, and how flow gets back to metres."""

    pyramids: tuple[tuple[Array, ...], tuple[Array, ...]]
    samples: Int[Array, "b n"]
    sensors: Sensors


class FlowNetwork(nn.Module):
    """One of the six networks."""

    config: RaftConfig | PwcConfig

    def setup(self) -> None:
        if isinstance(self.config, RaftConfig):
            self.core: Any = raft.RaftCore(self.config)
        else:
            self.core = pwc.PwcCore(self.config)

    def __call__(
        self,
        inputs: FlowInputs,
        *,
        iterations: int | None = None,
        use_running: bool = True,
    ) -> Prediction:
        """iterations: of RAFT; None for those of the config.  use_running: whether norms use their
        running statistics. InputError for inputs that are missing or too small."""
        images, clouds, camera, shift = inputs
        size = images.shape[2:4] if self.config.images and images is not None else POINT_SENSOR
        prepared, padding = None, None
        if self.config.images:
            if images is None:
                raise InputError("images: expected two frames, got none")
            prepared, padding = self._prepare(images)
        in_network = None
        if self.config.points:
            if clouds is None or camera is None:
                raise InputError("clouds, camera: expected both, got none")
            in_network = self._scale(clouds, camera, size, prepared, shift)
        pyramids = None if in_network is None else in_network.pyramids
        sensors = None if in_network is None else in_network.sensors
        if isinstance(self.config, RaftConfig):
            count = self.config.iterations if iterations is None else iterations
            flows = self.core(prepared, pyramids, sensors, count, use_running)
            found_2d = () if flows.flow_2d is None else tuple(flows.flow_2d)
            found_3d = () if flows.flow_3d is None else tuple(flows.flow_3d)
            flow_2d = tuple(_cut(flow, padding, size) for flow in found_2d)
            last_2d, last_3d = flows.final_2d, flows.final_3d
            final_2d = None if last_2d is None else _cut(last_2d, padding, size)
        else:
            levels = self.core(prepared, pyramids, sensors, use_running)
            flow_2d, found_3d = levels.flow_2d, levels.flow_3d
            final_2d = resize_flow(flow_2d[0], (size[0], size[1])) if flow_2d else None
            last_3d = found_3d[0] if found_3d else None
        flow_3d = tuple(
            self._metric(in_network, camera, shift, level, flow)
            for level, flow in enumerate(found_3d)
        )
        final_3d = None if last_3d is None else self._metric(in_network, camera, shift, 0, last_3d)
        return Prediction(
            flow_2d=flow_2d,
            flow_3d=flow_3d,
            in_network=found_3d,
            final_2d=final_2d,
            final_3d=final_3d,
            samples=None if in_network is None else in_network.samples,
        )

    def _prepare(self, images: Array) -> tuple[Array, tuple[int, int]]:
        """(images as the core takes them, columns added on the left and right)."""
        height, width = images.shape[2:4]
        images = images.astype(jnp.float32)
        if isinstance(self.config, PwcConfig):
            size = (_multiple(height, pwc.STRIDE), _multiple(width, pwc.STRIDE))
            return resize_aligned(images / 255, size), (0, 0)
        down, across = -height % raft.STRIDE, -width % raft.STRIDE
        padding = (across // 2, across - across // 2)
        images = jnp.pad(images, ((0, 0), (0, 0), (0, down), padding, (0, 0)), mode="edge")
        least = 2 * raft.STRIDE * 2 ** (self.config.levels - 1)
        if min(images.shape[2:4]) < least:
            raise InputError(
                f"images of {height} x {width} pixels: expected at least {least} on each side"
            )
        if not self.config.points:
            return images / 127.5 - 1, padding
        return (images - IMAGENET_MEAN) / IMAGENET_STD, padding

    def _scale(
        self,
        clouds: Array,
        camera: Array,
        size: tuple[int, ...],
        images: Array | None,
        shift: DomainShift | None,
    ) -> _Clouds:
        """Clouds in the network's coordinates, and their pyramids."""
        b, _, count, _ = clouds.shape
        levels = self.config.pyramid
        if count < levels[0]:
            raise InputError(f"clouds of {count} points: expected at least {levels[0]}")
        if images is None:
            sensors = Sensors.of(POINT_SENSOR, POINT_SENSOR)
        else:
            inner = (images.shape[2], images.shape[3])
            fixed = isinstance(self.config, PwcConfig)
            sensors = Sensors.of((size[0], size[1]) if fixed else inner, inner)
        first, second = clouds[:, 0], clouds[:, 1]
        if self.config.inverse_depth:
            first, second = (to_parallel(cloud, camera, sensors) for cloud in (first, second))
        if shift is not None:
            first, second = shift.forward(first), shift.forward(second)
        both = jnp.concatenate([first, second])
        samples = furthest_point_sampling(both, levels[0])
        drawn = group_points(both, samples)
        pyramids = tuple(
            (whole, *(part[:, :n] for n in levels))
            for whole, part in ((first, drawn[:b]), (second, drawn[b:]))
        )
        return _Clouds((pyramids[0], pyramids[1]), samples[:b], sensors)

    def _metric(
        self,
        clouds: _Clouds | None,
        camera: Array | None,
        shift: DomainShift | None,
        level: int,
        flow: Array,
    ) -> Float[Array, "b n 3"]:
        """Flow of the network's coordinates in metres."""
        assert clouds is not None
        assert camera is not None
        start = clouds.pyramids[0][level if isinstance(self.config, PwcConfig) else 0]
        if shift is not None:
            end = shift.back(start + flow)
            start = shift.back(start)
            flow = end - start
        if not self.config.inverse_depth:
            return flow
        return flow_to_perspective(start, flow, camera, clouds.sensors)


def _multiple(side: int, divisor: int) -> int:
    return -(-side // divisor) * divisor


def _cut(flow: Array, padding: tuple[int, int] | None, size: tuple[int, ...]) -> Array:
    left = 0 if padding is None else padding[0]
    return jax.lax.slice_in_dim(flow[:, : size[0]], left, left + size[1], axis=2)
