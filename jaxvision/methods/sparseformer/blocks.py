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
from jaxvision.nn.initializers import Initializer
from jaxvision.nn.sharding import constrain
from jaxvision.nn.transformer import drop_samples
from jaxvision.ops.attention import attention
from jaxvision.ops.sparse_sampling import sparse_sampling

_normal = nn.initializers.normal(0.02)
_zeros = nn.initializers.zeros


class Sampling(NamedTuple):
    """Where tokens sampled the feature map: their boxes, and the points in fractions."""

    boxes: Float[Array, "b n d2"]
    points: Float[Array, "b n p d"]


def logical(init: Initializer, *names: str | None) -> Initializer:
    return nn.with_logical_partitioning(init, names)


def layer_norm(name: str, epsilon: float, dtype: jnp.dtype, scale: float = 1.0) -> nn.LayerNorm:
    """LayerNorm with float32 statistics; `scale` is its initial gain."""
    return nn.LayerNorm(
        epsilon=epsilon,
        dtype=dtype,
        scale_init=logical(nn.initializers.constant(scale), "embed"),
        bias_init=logical(_zeros, "embed"),
        name=name,
    )


def dense(
    features: int,
    name: str,
    dtype: jnp.dtype,
    *names: str | None,
    kernel: Initializer = _normal,
    bias: bool = True,
) -> nn.Dense:
    """A linear map whose kernel has the logical axes `names`."""
    return nn.Dense(
        features,
        use_bias=bias,
        dtype=dtype,
        kernel_init=logical(kernel, *names),
        bias_init=logical(_zeros, names[-1]),
        name=name,
    )


class Attention(nn.Module):
    """Self-attention with one fused projection, stored (embed, 3, heads, dim), biases on all."""

    heads: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        width = x.shape[-1]
        head_width = width // self.heads
        qkv = nn.DenseGeneral(
            (3, self.heads, head_width),
            dtype=self.dtype,
            kernel_init=logical(_normal, "embed", None, "heads", None),
            bias_init=logical(_zeros, None, "heads", None),
            name="qkv",
        )(x)
        query, key, value = (
            constrain(y, "batch", None, "heads", None) for y in jnp.moveaxis(qkv, -3, 0)
        )
        mixed = attention(query * head_width**-0.5, key, value)
        return nn.DenseGeneral(
            width,
            axis=(-2, -1),
            dtype=self.dtype,
            kernel_init=logical(_normal, "heads", None, "embed"),
            bias_init=logical(_zeros, "embed"),
            name="out",
        )(mixed)


class Mlp(nn.Module):
    """Linear to four times the width, GELU (exact, or x * sigmoid(1.702 x)), linear."""

    quick_gelu: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        width = x.shape[-1]
        hidden = dense(4 * width, "up", self.dtype, "embed", "mlp")(x)
        hidden = constrain(hidden, "batch", None, "mlp")
        if self.quick_gelu:
            hidden = hidden * jax.nn.sigmoid(1.702 * hidden)
        else:
            hidden = nn.gelu(hidden, approximate=False)
        return dense(width, "down", self.dtype, "mlp", "embed")(hidden)


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
        norm = functools.partial(layer_norm, epsilon=flavour.norm_epsilon, dtype=arch.dtype)
        width = self.unit.width
        samplings: tuple[Sampling, ...] = ()
        for operation in self.unit.operations:
            if operation == "attention":
                attention = Attention(heads_of(width, flavour), arch.dtype, name="attention")
                branch = attention(norm("attention_norm")(tokens))
                tokens = tokens + self._kept(branch, rate)
            elif operation == "mlp":
                # The repeated unit keeps the exact GELU.
                quick = flavour.quick_gelu and self.unit.repeats == 1
                branch = Mlp(quick, arch.dtype, name="mlp")(norm("mlp_norm")(tokens))
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
                encoding = norm("position_norm")(encoding)
                tokens = tokens + dense(width, "position", arch.dtype, "embed", None)(encoding)
            tokens = constrain(tokens, "batch", None, "embed")
        return tokens, boxes, samplings

    def _kept(self, branch: Array, rate: Float[Array, ""] | float) -> Array:
        """Drop path (1603.09382): one draw per sample and branch."""
        if self.deterministic or self.architecture.drop_path == 0:
            return branch
        return drop_path(branch, rate, self.make_rng("dropout"))

    def _adjustment(self, tokens: Float[Array, "b n d"]) -> Float[Array, "b n d2"]:
        arch, flavour, width = self.architecture, self.architecture.flavour, self.unit.width
        x = layer_norm("adjust_norm", flavour.norm_epsilon, jnp.float32, width**-0.5)(tokens)
        if flavour.adjust_hidden:
            x = dense(width, "adjust_hidden", jnp.float32, "embed", None)(x)
            x = nn.gelu(x, approximate=False)
        last = dense(
            2 * arch.dimensions, "adjust", jnp.float32, "embed", None, kernel=_zeros, bias=False
        )
        return last(x)

    def _points(
        self, tokens: Float[Array, "b n d"], boxes: Float[Array, "b n d2"]
    ) -> Float[Array, "b n p d"]:
        arch, flavour, width = self.architecture, self.architecture.flavour, self.unit.width
        size = arch.points * arch.dimensions
        x = layer_norm("offset_norm", flavour.norm_epsilon, jnp.float32, width**-0.5)(tokens)
        kernel = _zeros if flavour.zero_offsets else _normal
        offsets = dense(size, "offset", jnp.float32, "embed", None, kernel=kernel, bias=False)(x)
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


def drop_path(
    branch: Float[Array, "b *n"], rate: Float[Array, ""] | float, rng: PRNGKeyArray
) -> Float[Array, "b *n"]:
    """Whole samples set to zero with probability `rate`, the rest divided by 1 - rate."""
    draw = jax.random.uniform(rng, (branch.shape[0],) + (1,) * (branch.ndim - 1))
    return drop_samples(branch, draw, jnp.asarray(rate, jnp.float32))


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
