"""One unit of SparseFormer: attention, MLP, and the three operations that know boxes."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray

from jaxvision.methods.sparseformer.architecture import Architecture, Unit, heads_of
from jaxvision.methods.sparseformer.geometry import (
    adjust_boxes,
    box_position_encoding,
    clamp_gradient,
    initial_offsets,
    sampling_points,
)
from jaxvision.nn.adaptive_mixing import AdaptiveMixing
from jaxvision.nn.initializers import KERNEL_INITIALIZERS, Initializer
from jaxvision.nn.linear import linear, logical, norm, zeros
from jaxvision.nn.sharding import constrain
from jaxvision.nn.transformer import Attention, BlockConfig, Mlp, drop_branches, layer_norm
from jaxvision.ops.sparse_sampling import sparse_sampling


class Sampling(NamedTuple):
    """Where tokens sampled the feature map: their boxes, and the points in fractions."""

    boxes: Float[Array, "b n d2"]
    points: Float[Array, "b n p d"]


class FocusUnit(nn.Module):
    """The operations of a unit, in its order, each added to the tokens but for the box adjustment.

    `rate` is the drop-path rate of this run (the unit's weights may serve several runs).
    """

    architecture: Architecture
    unit: Unit
    deterministic: bool = True

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "b n d"],
        boxes: Float[Array, "b n d2"],
        features: Float[Array, "b *t h w c"],
        rate: Float[Array, ""] | float = 0.0,
        gradient_scale: Float[Array, ""] | float = 1.0,
    ) -> tuple[Float[Array, "b n d"], Float[Array, "b n d2"], tuple[Sampling, ...]]:
        arch, flavour = self.architecture, self.architecture.flavour
        width = self.unit.width
        block = self._block()
        samplings: tuple[Sampling, ...] = ()
        for operation in self.unit.operations:
            if operation == "attention":
                normed = layer_norm(block, "attention_norm")(tokens)
                branch, _ = Attention(block, name="attention")(normed)
                tokens = tokens + self._kept(branch, rate)
            elif operation == "mlp":
                branch = Mlp(block, name="mlp")(layer_norm(block, "mlp_norm")(tokens))
                tokens = tokens + self._kept(branch, rate)
            elif operation == "adjust":
                adjustment = self._adjustment(tokens)
                if flavour.drop_adjustment:
                    adjustment = self._kept(adjustment, rate)
                boxes = adjust_boxes(boxes, adjustment)
            elif operation == "sample":
                points = self._points(tokens, boxes)
                samplings = (*samplings, Sampling(boxes, points))
                branch = self._sampled(tokens, points, features, gradient_scale)
                tokens = tokens + self._kept(branch, rate)
            else:
                encoding = box_position_encoding(boxes, width, arch.dimensions)
                encoding = layer_norm(block, "position_norm")(encoding)
                position = linear(width, ("embed", None), dtype=arch.dtype, name="position")
                tokens = tokens + position(encoding)
            tokens = constrain(tokens, "batch", None, "embed")
        return tokens, boxes, samplings

    def _block(self) -> BlockConfig:
        """Of the unit's attention and MLP."""
        arch, flavour, unit = self.architecture, self.architecture.flavour, self.unit
        # The repeated unit keeps the exact GELU.
        quick = flavour.quick_gelu and unit.repeats == 1
        return BlockConfig(
            unit.width,
            heads_of(unit.width, flavour),
            fused_bias=True,
            activation="quick_gelu" if quick else "gelu",
            norm_epsilon=flavour.norm_epsilon,
            kernel_init="normal_0.02",
            dtype=arch.dtype,
        )

    def _kept(self, branch: Array, rate: Float[Array, ""] | float) -> Array:
        """Drop path (1603.09382): one draw per sample and branch."""
        if self.deterministic or self.architecture.drop_path == 0:
            return branch
        return drop_branches(branch, rate, self.make_rng("dropout"))

    def _adjustment(self, tokens: Float[Array, "b n d"]) -> Float[Array, "b n d2"]:
        arch, flavour, width = self.architecture, self.architecture.flavour, self.unit.width
        dense = functools.partial(linear, axes=("embed", None), dtype=jnp.float32)
        x = self._small_norm("adjust_norm")(tokens)
        if flavour.adjust_hidden:
            x = dense(width, name="adjust_hidden")(x)
            x = nn.gelu(x, approximate=False)
        return dense(2 * arch.dimensions, kernel=zeros, bias=None, name="adjust")(x)

    def _small_norm(self, name: str) -> nn.LayerNorm:
        epsilon, scale = self.architecture.flavour.norm_epsilon, self.unit.width**-0.5
        return norm(name, epsilon=epsilon, dtype=jnp.float32, scale=scale)

    def _points(
        self, tokens: Float[Array, "b n d"], boxes: Float[Array, "b n d2"]
    ) -> Float[Array, "b n p d"]:
        arch, flavour = self.architecture, self.architecture.flavour
        size = arch.points * arch.dimensions
        offsets = linear(
            size,
            ("embed", None),
            dtype=jnp.float32,
            kernel=zeros if flavour.zero_offsets else KERNEL_INITIALIZERS["normal_0.02"],
            bias=None,
            name="offset",
        )(self._small_norm("offset_norm")(tokens))
        base = self.param("offset_base", logical(_base_offsets(arch), None), (size,))
        return sampling_points(boxes, offsets + base, flavour.point_epsilon)

    def _sampled(
        self,
        tokens: Float[Array, "b n d"],
        points: Float[Array, "b n p d"],
        features: Float[Array, "b *t h w c"],
        gradient_scale: Float[Array, ""] | float,
    ) -> Float[Array, "b n d"]:
        arch, flavour = self.architecture, self.architecture.flavour
        if flavour.clamp and arch.dimensions == 2:
            # The height bounds both coordinates, as published.
            bound = flavour.clamp * jnp.float32(gradient_scale) / features.shape[-3]
            points = clamp_gradient(points, bound)
        sampled = sparse_sampling(features, points, padding=flavour.padding)
        return AdaptiveMixing(
            arch.mixed_points,
            arch.generator_width(self.unit.width),
            flavour.generator_norm_epsilon,
            flavour.mixing_biases,
            arch.mixing_activations,
            dtype=arch.dtype,
            name="mixing",
        )(sampled[:, :, None], tokens)


class PlainUnit(nn.Module):
    """A unit of attention and MLP alone, for `nn.scan`: the carry is the tokens."""

    architecture: Architecture
    unit: Unit
    deterministic: bool = True

    @nn.compact
    def __call__(
        self, tokens: Float[Array, "b n d"], rate: Float[Array, ""]
    ) -> tuple[Float[Array, "b n d"], None]:
        none = jnp.zeros(())  # neither boxes nor features: no operation here knows them
        unit = FocusUnit(self.architecture, self.unit, self.deterministic, name="unit")
        return unit(tokens, none, none, rate)[0], None


def _base_offsets(arch: Architecture) -> Initializer:
    """A grid over the box, in the middle of time; where P is no square, the published draws."""
    grid = initial_offsets(arch.points)

    def init(key: PRNGKeyArray, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
        if grid is not None:
            pairs = jnp.asarray(grid).reshape(-1, 2)
        elif arch.flavour.zero_offsets:
            pairs = jax.random.uniform(key, (arch.points, 2), dtype, -0.5, 0.5)
        else:
            root = int(arch.points**0.5)
            pairs = jax.random.normal(key, (arch.points, 2), dtype)
            pairs = pairs.at[: root * root].set(
                jnp.asarray(initial_offsets(root * root)).reshape(-1, 2)
            )
        time = jnp.zeros((arch.points, arch.dimensions - 2), dtype)
        return jnp.concatenate([pairs, time], axis=1).reshape(shape)

    return init
