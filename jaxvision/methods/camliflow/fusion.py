"""Bidirectional camera-LiDAR fusion (Bi-CLFM, section 3.3): points and pixels exchange features.

What comes from the other modality carries no gradient back to it: each branch learns from its own
loss, the fusion's layers from both.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxvision.methods.camliflow.layers import ACTIVATIONS, Linear, Unit
from jaxvision.ops.grouping import group_points
from jaxvision.ops.image_sampling import grid_sample
from jaxvision.ops.k_nearest_neighbours import k_nearest_neighbours


class Correspondence(NamedTuple):
    """uv: pixels of the points on the feature map.  nearest: the projected point nearest to each
    pixel.  offset: from a pixel to that point, and its length."""

    uv: Float[Array, "b n 2"]
    nearest: Int[Array, "b h w"]
    offset: Float[Array, "b h w 3"]


def correspond(uv: Float[Array, "b n 2"], size: tuple[int, int]) -> Correspondence:
    """Which pixels of a feature map of `size` and which points belong together; constant while the
    points stay."""
    uv = jax.lax.stop_gradient(uv)
    height, width = size
    x, y = jnp.meshgrid(jnp.arange(width, dtype=uv.dtype), jnp.arange(height, dtype=uv.dtype))
    grid = jnp.broadcast_to(
        jnp.stack([x, y], axis=-1).reshape(1, -1, 2), (len(uv), height * width, 2)
    )
    nearest, _ = k_nearest_neighbours(uv, grid, 1)
    nearest = nearest[..., 0]
    offset = group_points(uv, nearest) - grid
    length = jnp.sqrt(jnp.sum(jnp.square(offset), axis=-1, keepdims=True))
    offset = jnp.concatenate([offset, length], axis=-1)
    return Correspondence(
        uv, nearest.reshape(-1, height, width), offset.reshape(-1, height, width, 3)
    )


class PointsToPixels(nn.Module):
    """Features of the nearest projected point, weighted by a network of where it lies."""

    features: int
    norm: bool = False
    groups: int = 1

    @nn.compact
    def __call__(
        self, points: Float[Array, "b n c"], pairs: Correspondence, use_running: bool
    ) -> Float[Array, "b h w c"]:
        score = Unit(16, name="score_0")(pairs.offset.astype(points.dtype))
        score = Unit(self.features, activation="sigmoid", name="score_1")(score)
        b, height, width = pairs.nearest.shape
        taken = group_points(points, pairs.nearest.reshape(b, -1)).reshape(b, height, width, -1)
        return Unit(self.features, self.norm, groups=self.groups, name="out")(
            score * taken, use_running
        )


def _aligned(
    fusion: Any, of_image: Array, of_points: Array, use_running: bool
) -> tuple[Array, Array]:
    """Both inputs in the width of a fusion, each by a layer of its own inside it."""
    a, b = (
        Unit(fusion.features, fusion.norm, groups=fusion.groups, name=name)(x, use_running)
        for x, name in ((of_image, "align_image"), (of_points, "align_points"))
    )
    return a, b


class SelectiveFusion(nn.Module):
    """Two inputs aligned and mixed channel by channel, by weights made of their mean (after
    selective kernels, 1903.06586)."""

    features: int
    norm: bool = False
    groups: int = 1

    @nn.compact
    def __call__(
        self, of_image: Float[Array, "b *n c"], of_points: Float[Array, "b *n d"], use_running: bool
    ) -> Float[Array, "b *n e"]:
        a, b = _aligned(self, of_image, of_points, use_running)
        space = tuple(range(1, a.ndim - 1))
        mean = jnp.mean(a + b, axis=space, dtype=jnp.float32)
        hidden = Linear(self.features // 2, use_bias=False, name="fc_mid")(mean)
        out = Linear(2 * self.features, use_bias=False, name="fc_out")(jax.nn.relu(hidden))
        pairs = jax.nn.sigmoid(out).reshape(-1, *(1 for _ in space), self.features, 2)
        share = jax.nn.softmax(pairs, axis=-1).astype(a.dtype)
        return a * share[..., 0] + b * share[..., 1]


class SumFusion(nn.Module):
    """Two inputs aligned and added, and once more the activation. No published network has it."""

    features: int
    norm: bool = False
    groups: int = 1

    @nn.compact
    def __call__(self, of_image: Array, of_points: Array, use_running: bool) -> Array:
        a, b = _aligned(self, of_image, of_points, use_running)
        return ACTIVATIONS["leaky"](a + b)


class ConcatenationFusion(nn.Module):
    """One layer of both inputs. No published network has it."""

    features: int
    norm: bool = False
    groups: int = 1

    @nn.compact
    def __call__(self, of_image: Array, of_points: Array, use_running: bool) -> Array:
        both = jnp.concatenate([of_image, of_points], axis=-1)
        return Unit(self.features, self.norm, groups=self.groups, name="mlp")(both, use_running)


class GatedFusion(nn.Module):
    """Two inputs aligned and mixed place by place. No published network has it."""

    features: int
    norm: bool = False
    groups: int = 1

    @nn.compact
    def __call__(self, of_image: Array, of_points: Array, use_running: bool) -> Array:
        a, b = _aligned(self, of_image, of_points, use_running)
        gates = [
            Unit(2, activation="sigmoid", name=name)(x)
            for x, name in ((a, "gate_image"), (b, "gate_points"))
        ]
        share = jax.nn.softmax(gates[0] + gates[1], axis=-1)
        return a * share[..., :1] + b * share[..., 1:]


FUSIONS: dict[str, Callable[..., nn.Module]] = {
    "sk": SelectiveFusion,
    "add": SumFusion,
    "concat": ConcatenationFusion,
    "gated": GatedFusion,
}


class Fusion(nn.Module):
    """Both directions. image_features, point_features: widths of the two, before and after."""

    image_features: int
    point_features: int
    norm: bool = False
    groups: int = 1
    kind: str = "sk"

    def setup(self) -> None:
        settings = (self.norm, self.groups)
        self.to_pixels = PointsToPixels(self.point_features, *settings)
        self.to_points = Unit(self.image_features, self.norm, groups=self.groups)
        self.fuse_image: Any = FUSIONS[self.kind](self.image_features, *settings)
        self.fuse_points: Any = FUSIONS[self.kind](self.point_features, *settings)

    def interpolated(
        self, points: Float[Array, "b n d"], pairs: Correspondence, use_running: bool = True
    ) -> Float[Array, "b h w d"]:
        """Features of points as an image."""
        return self.to_pixels(jax.lax.stop_gradient(points), pairs, use_running)

    def sampled(
        self, image: Float[Array, "b h w c"], pairs: Correspondence
    ) -> Float[Array, "b n c"]:
        """Features of the image at the points; zeros outside."""
        x, y = pairs.uv[..., 0], pairs.uv[..., 1]
        return grid_sample(jax.lax.stop_gradient(image), x, y, "zeros")

    def __call__(
        self,
        image: Float[Array, "b h w c"],
        points: Float[Array, "b n d"],
        pairs: Correspondence,
        use_running: bool = True,
    ) -> tuple[Float[Array, "b h w c"], Float[Array, "b n d"]]:
        """(image features, point features), each with the other's."""
        of_points = self.interpolated(points, pairs, use_running)
        of_image = self.to_points(self.sampled(image, pairs), use_running)
        return (
            self.fuse_image(image, of_points, use_running),
            self.fuse_points(of_image, points, use_running),
        )
