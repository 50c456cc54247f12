"""CamLiRAFT, and its siblings of one branch: flow estimated again and again from where it points
(section 4.2)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxvision.methods.camliflow.encoders import PointPyramid, ResNetEncoder
from jaxvision.methods.camliflow.frames import each_frame
from jaxvision.methods.camliflow.fusion import Fusion, correspond
from jaxvision.methods.camliflow.inverse_depth import Sensors, pixels_of_parallel
from jaxvision.methods.camliflow.layers import offsets_of
from jaxvision.methods.camliflow.update_blocks import (
    SELF_NEIGHBOURS,
    ImageBlocks,
    PointBlocks,
    PointWeights,
    feature_levels,
)
from jaxvision.methods.camliflow.variants import RaftConfig
from jaxvision.ops.correlation_lookup import (
    CorrelationVolumes,
    FeaturePyramid,
    correlation_lookup,
)
from jaxvision.ops.k_nearest_neighbours import k_nearest_neighbours
from jaxvision.ops.point_interpolation import interpolate, interpolation_weights, warp_points

STRIDE = 8


class State(NamedTuple):
    """Of an iteration: flow [b, h, w, 2] and hidden state [b, h, w, c] of the 2D branch, [b, n, 3]
    and [b, n, c] of the 3D one; None where the network lacks the branch."""

    flow_2d: Any
    hidden_2d: Any
    flow_3d: Any
    hidden_3d: Any


class PointContext(NamedTuple):
    """What the 3D branch has before its first iteration.

    first, second: features, the latter by level.  xyz1: points whose flow is estimated.  xyz2: by
    level.  given: the input of every iteration.
    """

    first: Array
    second: tuple[Array, ...]
    xyz1: Array
    xyz2: tuple[Array, ...]
    given: Array
    neighbours: Int[Array, "b n k"]
    weights: PointWeights


class ImageContext(NamedTuple):
    """The same of the 2D branch. pyramid: what correlations are read from.  shares: what the
    context adds to the recurrent unit's gates."""

    pyramid: FeaturePyramid | CorrelationVolumes
    shares: tuple[Array, Array]


class Context(NamedTuple):
    image: ImageContext | None
    points: PointContext | None
    pairs: Any  # Correspondence of the first frame


class Flows(NamedTuple):
    """Of every iteration: [iterations, b, ...], in feature pixels upsampled to the image's, and in
    the network's coordinates at every point. `final_*` is the last by itself: where nothing else is
    asked for, the compiler leaves the others' upsampling out."""

    flow_2d: Float[Array, "i b h w 2"] | None
    flow_3d: Float[Array, "i b n 3"] | None
    final_2d: Float[Array, "b h w 2"] | None
    final_3d: Float[Array, "b n 3"] | None


class RaftCore(nn.Module):
    """images: normalised, sides multiples of 8.  clouds: pyramids of both, in the network's
    coordinates, the whole cloud first."""

    config: RaftConfig

    def setup(self) -> None:
        config, groups, width = self.config, self.config.norm_groups, self.config.width
        if config.images:
            self.image_features = ResNetEncoder(width, config.stages)
            self.image_context = ResNetEncoder(width, config.stages)
            self.image = ImageBlocks(width, config.levels, config.lookup, config.centred)
        if config.points:
            self.point_features = PointPyramid(config.point_widths, groups, self.dtype)
            self.point_context = PointPyramid(config.point_widths, groups, self.dtype)
            self.points = PointBlocks(width)
        if config.fuse_features:
            self.fuse_features = Fusion(width, width, True, groups)
        if config.fuse_context:
            self.fuse_context = Fusion(width, width, True, groups)
        if config.fuse_correlation:
            self.fuse_correlation = Fusion(config.correlations, width)
        if config.fuse_motion:
            self.fuse_motion = Fusion(width, width)
        if config.fuse_hidden:
            self.fuse_hidden = Fusion(width, width)

    @property
    def dtype(self) -> jnp.dtype:
        return jnp.dtype(self.config.dtype)

    def __call__(
        self,
        images: Float[Array, "b 2 h w 3"] | None,
        clouds: tuple[tuple[Array, ...], tuple[Array, ...]] | None,
        sensors: Sensors | None,
        iterations: int,
        use_running: bool = True,
    ) -> Flows:
        # 1. What does not change over the iterations.
        context, state = self.prepare(images, clouds, sensors, use_running)
        # 2. The iterations, recomputed in the backward pass.
        last, (flow_2d, hidden_2d, flow_3d) = _looped(_iterate, nn.broadcast, iterations)(
            self, state, context
        )
        final_2d = final_3d = None
        # 3. From feature pixels to the image's.
        if flow_2d is not None:
            final_2d = self.image.upsampler(last.hidden_2d, last.flow_2d)
            _, flow_2d = _looped(_upsampled, 0, iterations)(self, None, (hidden_2d, flow_2d))
        # 4. From the coarse cloud to every point: neither moves.
        if flow_3d is not None and clouds is not None:
            fine = interpolation_weights(clouds[0][2], clouds[0][0])
            final_3d = interpolate(last.flow_3d, *fine)
            flow_3d = jax.lax.map(lambda flow: interpolate(flow, *fine), flow_3d)
        return Flows(flow_2d, flow_3d, final_2d, final_3d)

    def prepare(
        self,
        images: Float[Array, "b 2 h w 3"] | None,
        clouds: tuple[tuple[Array, ...], tuple[Array, ...]] | None,
        sensors: Sensors | None,
        use_running: bool,
    ) -> tuple[Context, State]:
        """Encoded frames, and the state before the first iteration."""
        image_features: Any = None
        point_features: Any = None
        of_image: Any = None
        of_points: Any = None
        pairs: Any = None
        if images is not None:
            b, images = images.shape[0], images.astype(self.dtype)
            keep = use_running or not self.config.encoder_norms
            maps = self.image_features(jnp.concatenate([images[:, 0], images[:, 1]]), keep)
            image_features = maps.reshape(2, b, *maps.shape[1:])
            of_image = self.image_context(images[:, 0], keep)
        if clouds is not None:
            widths = self.config.point_widths
            both = tuple(jnp.stack(level) for level in zip(*clouds, strict=True))[: len(widths)]

            def encoded(core: RaftCore, cloud: tuple[Array, ...]) -> Array:
                return core.point_features(cloud, use_running)[-1]

            # One frame after the other: norms see two batches, as published.
            point_features = each_frame(self, encoded, both)
            of_points = self.point_context(clouds[0], use_running)[-1]
        if self.config.fused:
            assert clouds is not None
            assert sensors is not None
            size = _size(image_features[0])
            if self.config.fuse_features:

                def fused(core: RaftCore, frame: tuple[Array, Array, Array]) -> Any:
                    of_image, of_points, cloud = frame
                    found = correspond(pixels_of_parallel(cloud, sensors, size), size)
                    return *core.fuse_features(of_image, of_points, found, use_running), found

                frames = image_features, point_features, both[-1]
                image_features, point_features, pairs = each_frame(self, fused, frames)
                pairs = jax.tree.map(lambda x: x[0], pairs)
            else:
                pairs = correspond(pixels_of_parallel(clouds[0][2], sensors, size), size)
        if self.config.fuse_context:
            of_image, of_points = self.fuse_context(of_image, of_points, pairs, use_running)
        image = points = None
        state = State(None, None, None, None)
        if of_image is not None:
            hidden, given = self.image.context(of_image)
            shares = self.image.gru.shares(given)
            image = ImageContext(self.image.pyramid(*image_features), shares)
            state = state._replace(
                flow_2d=jnp.zeros((*hidden.shape[:3], 2), jnp.float32), hidden_2d=hidden
            )
        if of_points is not None and clouds is not None:
            hidden, given = self.points.context(of_points)
            xyz1, xyz2 = clouds[0][2], clouds[1][2 : 2 + self.config.levels]
            neighbours, _ = k_nearest_neighbours(xyz1, xyz1, SELF_NEIGHBOURS)
            offsets = offsets_of(xyz1, xyz1, neighbours).astype(self.dtype)
            points = PointContext(
                first=point_features[0],
                second=feature_levels(point_features[1], xyz2),
                xyz1=xyz1,
                xyz2=xyz2,
                given=given,
                neighbours=neighbours,
                weights=self.points.weights(offsets),
            )
            state = state._replace(flow_3d=jnp.zeros_like(xyz1), hidden_3d=hidden)
        return Context(image, points, pairs), state

    def iterate(self, state: State, context: Context) -> tuple[State, tuple]:
        """One iteration: (state, (flow and hidden state in feature pixels, flow of points))."""
        config, (image, points, pairs) = self.config, context
        flow_2d, hidden_2d, flow_3d, hidden_3d = state
        flow_2d, flow_3d = jax.lax.stop_gradient((flow_2d, flow_3d))
        corr_2d: Any = None
        corr_3d: Any = None
        motion_2d: Any = None
        motion_3d: Any = None
        # 1. Correlations around where the flow leads.
        if image is not None:
            corr_2d = correlation_lookup(image.pyramid, _grid(flow_2d) + flow_2d, config.radius)
            corr_2d = corr_2d.astype(self.dtype)
        if points is not None:
            warped = tuple(warp_points(points.xyz1, xyz, flow_3d) for xyz in points.xyz2)
            corr_3d = self.points.correlation(points.first, points.second, points.xyz1, warped)
        if config.fuse_correlation:
            corr_2d, corr_3d = self.fuse_correlation(corr_2d, corr_3d, pairs)
        # 2. Motion features.
        if image is not None:
            motion_2d = jnp.nan_to_num(self.image.motion(flow_2d, corr_2d))
        if points is not None:
            motion_3d = self.points.motion(
                flow_3d, corr_3d, points.weights.motion, points.neighbours
            )
        if config.fuse_motion:
            motion_2d, motion_3d = self.fuse_motion(motion_2d, motion_3d, pairs)
        # 3. Recurrent units.
        if image is not None:
            hidden_2d = self.image.gru(hidden_2d, motion_2d, image.shares)
        if points is not None:
            given = jnp.concatenate([points.given, motion_3d], axis=-1)
            weights, neighbours = points.weights, points.neighbours
            hidden_3d = self.points.gru(hidden_3d, given, weights.gru, neighbours)
        if config.fuse_hidden:
            hidden_2d, hidden_3d = self.fuse_hidden(hidden_2d, hidden_3d, pairs)
        # 4. Flow heads.
        if image is not None:
            flow_2d = flow_2d + jnp.nan_to_num(self.image.flow_head(hidden_2d))
        if points is not None:
            head = points.weights.head
            flow_3d = flow_3d + self.points.flow_head(hidden_3d, head, points.neighbours)
        return State(flow_2d, hidden_2d, flow_3d, hidden_3d), (flow_2d, hidden_2d, flow_3d)


def _looped(step: Any, over: Any, length: int) -> Any:
    """step(core, carried, given) again and again, recomputed in the backward pass. over: the axis
    of `given` that is taken apart, or nn.broadcast where all steps see it whole."""
    return nn.scan(
        nn.remat(step, prevent_cse=False),
        variable_broadcast="params",
        split_rngs={"params": False},
        in_axes=over,
        length=length,
    )


def _iterate(core: RaftCore, state: State, context: Context) -> tuple[State, tuple]:
    return core.iterate(state, context)


def _upsampled(core: RaftCore, _: None, of: tuple[Array, Array]) -> tuple[None, Array]:
    """of: hidden state and flow of an iteration."""
    return None, core.image.upsampler(*of)


def _size(x: Float[Array, "b h w c"]) -> tuple[int, int]:
    return x.shape[1], x.shape[2]


def _grid(flow: Float[Array, "b h w 2"]) -> Float[Array, "h w 2"]:
    height, width = flow.shape[1:3]
    x, y = jnp.meshgrid(jnp.arange(width), jnp.arange(height))
    return jnp.stack([x, y], axis=-1).astype(flow.dtype)
