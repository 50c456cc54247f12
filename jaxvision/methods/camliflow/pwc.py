"""CamLiPWC, and its siblings of one branch: flow estimated from coarse to fine (section 4.1)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.methods.camliflow.encoders import ImagePyramid, PointPyramid
from jaxvision.methods.camliflow.estimators import (
    WIDTH,
    ContextNetwork,
    ImageEstimator,
    PointCost,
    PointEstimator,
    estimator_width,
)
from jaxvision.methods.camliflow.frames import each_frame
from jaxvision.methods.camliflow.fusion import Fusion, correspond
from jaxvision.methods.camliflow.inverse_depth import Sensors, pixels_of_parallel
from jaxvision.methods.camliflow.layers import ACTIVATIONS, Linear, Unit
from jaxvision.methods.camliflow.update_blocks import ConvexUpsampler
from jaxvision.methods.camliflow.variants import PwcConfig
from jaxvision.nn.convolution import Conv
from jaxvision.ops.image_sampling import resize_aligned, warp
from jaxvision.ops.k_nearest_neighbours import k_nearest_neighbours
from jaxvision.ops.local_correlation import local_correlation
from jaxvision.ops.point_interpolation import point_interpolation, warp_points

WIDTHS = (16, 32, 64, 96, 128, 192)
LEVELS = range(1, len(WIDTHS))  # those with a decoder
STRIDE = 64  # that sides must be multiples of
NEIGHBOURS = 16
CARRIED = 32  # channels of the 2D branch that the next level sees
LARGEST_2D, LARGEST_3D = 1000.0, 100.0


class Flows(NamedTuple):
    """From the finest level on: at 1/1, 1/2, ... of the image, in its pixels; and at the points of
    the level below, in the network's coordinates."""

    flow_2d: tuple[Float[Array, "b h w 2"], ...]
    flow_3d: tuple[Float[Array, "b n 3"], ...]


class PwcCore(nn.Module):
    """images: in [0, 1], sides multiples of 64.  clouds: pyramids of both, in the network's
    coordinates, the whole cloud first."""

    config: PwcConfig

    def setup(self) -> None:
        config, groups = self.config, self.config.norm_groups
        cost_width = (2 * config.max_displacement + 1) ** 2
        dense_width = estimator_width(self.image_inputs, config.lite)
        heads = not config.fuse_estimator
        if config.images:
            self.image_features = ImagePyramid(WIDTHS, groups)
            self.image_aligners = [Unit(WIDTH) for _ in LEVELS]
            self.image_estimator = ImageEstimator(config.lite, heads)
            self.context_network = ContextNetwork()
            self.upsampler = ConvexUpsampler(4, 64)
        if config.points:
            self.point_features = PointPyramid(WIDTHS, groups, self.dtype)
            self.point_aligners = [Unit(WIDTH) for _ in LEVELS]
            self.point_costs = [PointCost(WIDTHS[i], not config.images) for i in LEVELS]
            self.point_estimator = PointEstimator(heads)
        if config.images and config.points:
            self.cost_aligners = [Unit(WIDTH) for _ in LEVELS]
        if config.fuse_pyramid:
            self.fuse_pyramid = [Fusion(WIDTHS[i], WIDTHS[i], True, groups) for i in LEVELS]
        if config.fuse_correlation:
            self.fuse_correlation = [Fusion(cost_width, WIDTHS[i]) for i in LEVELS]
        if config.fuse_estimator:
            self.fuse_estimator = Fusion(dense_width, WIDTH)
            self.image_head = Conv(2, torch_default=True, dtype=None)
            self.point_head = Linear(3)

    @property
    def dtype(self) -> jnp.dtype:
        return jnp.dtype(self.config.dtype)

    @property
    def image_inputs(self) -> int:
        """Channels that the 2D estimator sees: costs, features, flow, and what a coarser level
        carries."""
        cost = (2 * self.config.max_displacement + 1) ** 2
        return cost + WIDTH + 2 + (CARRIED if self.config.points else 0)

    def __call__(
        self,
        images: Float[Array, "b 2 h w 3"] | None,
        clouds: tuple[tuple[Array, ...], tuple[Array, ...]] | None,
        sensors: Sensors | None,
        use_running: bool = True,
    ) -> Flows:
        maps: Any = None
        points: Any = None
        if images is not None:
            frames = jnp.moveaxis(images.astype(self.dtype), 1, 0)
            maps = each_frame(self, lambda core, x: core.image_features(x, use_running), frames)
        if clouds is not None:
            both = _stacked(clouds)
            points = each_frame(self, lambda core, x: core.point_features(x, use_running), both)
        carried: tuple[Any, ...] = (None,) * 4
        flows_2d, flows_3d = [], []
        for level in reversed(LEVELS):
            carried = self.estimate(
                level,
                None if maps is None else maps[level],
                None if points is None else points[level],
                clouds,
                carried=carried,
                sensors=sensors,
                use_running=use_running,
            )
            flow_2d, of_image, flow_3d, _ = carried
            if flow_2d is not None and of_image is not None:
                if level == 1:
                    flows_2d.append(self.upsampler(of_image, flow_2d))
                else:
                    flows_2d.append(4 * resize_aligned(flow_2d, _times(flow_2d, 4)))
            if flow_3d is not None and clouds is not None:
                cloud = clouds[0]
                flows_3d.append(point_interpolation(cloud[level], flow_3d, cloud[level - 1]))
        return Flows(tuple(flows_2d[::-1]), tuple(flows_3d[::-1]))

    def estimate(
        self,
        level: int,
        maps: Float[Array, "2 b h w c"] | None,
        points: Float[Array, "2 b n c"] | None,
        clouds: tuple[tuple[Array, ...], tuple[Array, ...]] | None,
        *,
        carried: tuple[Any, ...],
        sensors: Sensors | None,
        use_running: bool,
    ) -> tuple[Any, ...]:
        """One level. maps, points: features of both frames and clouds.  carried: flow and features
        of the 2D branch, then of the 3D one, from the coarser level, and returned for the finer."""
        config, number = self.config, level - 1
        flow_2d, of_image, flow_3d, of_points = carried
        cost_2d: Any = None
        cost_3d: Any = None
        pair: Any = None
        # 1. The modalities exchange features.
        if config.fused:
            assert maps is not None
            assert clouds is not None
            assert sensors is not None
            size = _times(maps[0], 1)
            both = jnp.stack([clouds[0][level], clouds[1][level]])
            if config.fuse_pyramid:

                def fused(core: PwcCore, frame: tuple[Array, Array, Array]) -> Any:
                    of_image, of_points, cloud = frame
                    found = correspond(pixels_of_parallel(cloud, sensors, size), size)
                    fuse = core.fuse_pyramid[number]
                    return *fuse(of_image, of_points, found, use_running), found

                maps, points, pairs = each_frame(self, fused, (maps, points, both))
                pair = jax.tree.map(lambda x: x[0], pairs)
            else:
                pair = correspond(pixels_of_parallel(both[0], sensors, size), size)
        # 2. The coarser level's flow, and costs of what it leaves over.
        if maps is not None:
            first, second = maps
            if flow_2d is None or of_image is None:
                flow_2d = jnp.zeros((*first.shape[:3], 2), jnp.float32)
                of_image = jnp.zeros((*first.shape[:3], CARRIED), first.dtype)
            else:
                flow_2d = 2 * resize_aligned(flow_2d, _times(flow_2d, 2))
                of_image = resize_aligned(of_image, _times(of_image, 2))
                second = warp(second, flow_2d)
            cost_2d = local_correlation(first, second, config.max_displacement)
            cost_2d = ACTIVATIONS["leaky"](cost_2d).astype(self.dtype)
        if points is not None and clouds is not None:
            xyz1, xyz2 = clouds[0][level], clouds[1][level]
            if flow_3d is None or of_points is None:
                flow_3d = jnp.zeros_like(xyz1)
                of_points = jnp.zeros((*xyz1.shape[:2], WIDTH), self.dtype)
            else:
                both = jnp.concatenate([flow_3d, of_points], axis=-1)
                both = point_interpolation(clouds[0][level + 1], both, xyz1)
                flow_3d, of_points = both[..., :3], both[..., 3:].astype(self.dtype)
                xyz2 = warp_points(xyz1, xyz2, flow_3d)
            within, _ = k_nearest_neighbours(xyz1, xyz1, NEIGHBOURS)
            across, _ = k_nearest_neighbours(xyz2, xyz1, NEIGHBOURS)
            cost_3d = self.point_costs[number]((xyz1, xyz2), (points[0], points[1]), across, within)
        if config.fuse_correlation:
            cost_2d, cost_3d = self.fuse_correlation[number](cost_2d, cost_3d, pair)
        # 3. Estimators.
        delta_2d: Any = None
        delta_3d: Any = None
        if maps is not None:
            parts = [cost_2d, self.image_aligners[number](maps[0]), flow_2d.astype(self.dtype)]
            parts += [of_image] if config.points else []
            of_image, delta_2d = self.image_estimator(jnp.concatenate(parts, axis=-1))
        if points is not None:
            aligned = self.point_aligners[number](points[0])
            if config.images:
                cost_3d = self.cost_aligners[number](cost_3d)
                parts = [cost_3d, aligned, flow_3d.astype(self.dtype), of_points]
            else:
                parts = [aligned, cost_3d, flow_3d.astype(self.dtype)]
            of_points, delta_3d = self.point_estimator(
                xyz1, jnp.concatenate(parts, axis=-1), within
            )
        if config.fuse_estimator:
            of_image, of_points = self.fuse_estimator(of_image, of_points, pair)
            delta_2d, delta_3d = self.image_head(of_image), self.point_head(of_points)
        # 4. Flows; those of both branches stay in bounds.
        if maps is not None:
            flow_2d = flow_2d + delta_2d
            parts = [of_image, flow_2d.astype(self.dtype)]
            of_image, delta_2d = self.context_network(jnp.concatenate(parts, axis=-1))
            flow_2d = flow_2d + delta_2d
        if points is not None:
            flow_3d = flow_3d + delta_3d
        if maps is not None and points is not None:
            flow_2d = jnp.clip(flow_2d, -LARGEST_2D, LARGEST_2D)
            flow_3d = jnp.clip(flow_3d, -LARGEST_3D, LARGEST_3D)
        return flow_2d, of_image, flow_3d, of_points


def _stacked(clouds: tuple[tuple[Array, ...], tuple[Array, ...]]) -> tuple[Array, ...]:
    """Levels of both clouds' pyramids, [2, b, n, 3] each."""
    return tuple(jnp.stack(level) for level in zip(*clouds, strict=True))


def _times(x: Float[Array, "b h w c"], factor: int) -> tuple[int, int]:
    return x.shape[1] * factor, x.shape[2] * factor
