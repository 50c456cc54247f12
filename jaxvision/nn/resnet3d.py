"""Residual networks of video: SlowOnly and SlowFast (1812.03982, section 3; table 1).

Stages are numbered as in the paper: the stem is 1, residual stages are 2 to 5. `resnet3d_config`
has every switch, and says where the published networks differ.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.errors import InputError
from jaxvision.nn.normalization import BatchNorm
from jaxvision.nn.resnet3d_config import (
    BlockShape,
    FusionConfig,
    NonLocalConfig,
    NormConfig,
    ResNet3DConfig,
)
from jaxvision.nn.sharding import constrain
from jaxvision.ops.video_convolution import max_pool, video_convolution

Clip = Float[Array, "b t h w c"]
PATHWAYS = ("slow", "fast")


class Maps(NamedTuple):
    """A pathway's outputs of stages 1 (behind the pool) to 5, before any fusion; fast is empty
    where there is one pathway."""

    slow: tuple[Clip, ...]
    fast: tuple[Clip, ...]

    def levels(self, fast_frames: int) -> list[Clip]:
        """Stages 2 to 5 with both pathways' channels, slow ones first, at the slow frame rate
        (STMixer's pyramid).  fast_frames: for a slow frame; the largest value of them counts."""
        if not self.fast:
            return list(self.slow[1:])
        pool = (fast_frames, 1, 1)
        return [
            jnp.concatenate([slow, max_pool(fast, pool, pool)], axis=-1)
            for slow, fast in zip(self.slow[1:], self.fast[1:], strict=True)
        ]


class VideoConv(nn.Module):
    """`video_convolution` with its kernel (window, in, out) and, if `bias`, its bias."""

    features: int
    window: tuple[int, int, int] = (1, 1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: int = 1
    bias: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Clip) -> Clip:
        init = nn.initializers.variance_scaling(2.0, "fan_in", "normal", in_axis=(0, 1, 2, 3))
        boxed = nn.with_logical_partitioning(init, (None, None, None, None, "embed"))
        kernel = self.param("kernel", boxed, (*self.window, x.shape[-1], self.features))
        kernel = kernel.astype(self.dtype)
        y = video_convolution(x.astype(self.dtype), kernel, self.stride, self.dilation)
        if self.bias:
            boxed = nn.with_logical_partitioning(nn.initializers.zeros, ("embed",))
            y = y + self.param("bias", boxed, (self.features,)).astype(self.dtype)
        return constrain(y, "batch", None, None, None, "embed")


def _norm(norm: NormConfig, dtype: jnp.dtype, name: str) -> BatchNorm:
    return BatchNorm(norm.groups, norm.momentum, norm.epsilon, dtype, name=name)


class ConvNorm(nn.Module):
    """Convolution and batch norm, then ReLU if `relu`. Settings as of `VideoConv`."""

    features: int
    norm: NormConfig
    window: tuple[int, int, int] = (1, 1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: int = 1
    relu: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Clip, train: bool) -> Clip:
        conv = VideoConv(
            self.features,
            self.window,
            self.stride,
            self.dilation,
            dtype=self.dtype,
            name="conv",
        )
        y = _norm(self.norm, self.dtype, "norm")(conv(x), self.norm.frozen or not train)
        return jax.nn.relu(y) if self.relu else y


class Bottleneck(nn.Module):
    """(window, 1, 1), 1x3x3, 1x1x1, each with its norm; plus the input, or its projection; ReLU."""

    shape: BlockShape
    norm: NormConfig
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Clip, train: bool) -> Clip:
        shape, stride = self.shape, (1, self.shape.stride)
        layer = functools.partial(ConvNorm, norm=self.norm, dtype=self.dtype)
        first = layer(shape.inner, window=(shape.window, 1, 1), name="first")
        middle = layer(
            shape.inner, window=(1, 3, 3), stride=stride, dilation=shape.dilation, name="middle"
        )
        last = layer(shape.outputs, relu=False, name="last")
        y = last(middle(first(x, train), train), train)
        if shape.shortcut:
            x = layer(shape.outputs, stride=stride, relu=False, name="shortcut")(x, train)
        return jax.nn.relu(x.astype(y.dtype) + y)


class NonLocal(nn.Module):
    """x plus a normed mean of all places' values, weighted by their likeness."""

    inner: int
    config: NonLocalConfig
    norm: NormConfig
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Clip, train: bool) -> Clip:
        # 1. Groups of frames become samples.
        b, frames = x.shape[:2]
        group = self.config.group or frames
        if frames % group:
            raise InputError(f"{frames} frames in groups of {group} for a non-local block")
        grouped = x.reshape(b * frames // group, group, *x.shape[2:])

        # 2. Queries of all places, keys and values of the pooled ones, as rows.
        def rows(name: str, x: Clip) -> Float[Array, "g n inner"]:
            y = VideoConv(self.inner, bias=True, dtype=self.dtype, name=name)(x)
            return y.reshape(y.shape[0], -1, self.inner)

        pooled = max_pool(grouped, self.config.pool, self.config.pool)
        query, key, value = rows("query", grouped), rows("key", pooled), rows("value", pooled)
        # 3. The weighted mean, in float32 until it is one.
        scores = jnp.einsum("gnc,gmc->gnm", query, key, preferred_element_type=jnp.float32)
        if self.config.weighting == "softmax":
            weights = jax.nn.softmax(scores * self.inner**-0.5)
        else:
            weights = scores / key.shape[1]
        mixed = jnp.einsum("gnm,gmc->gnc", weights.astype(self.dtype), value)
        # 4. Back to the input's channels, added to it.
        mixed = mixed.reshape(*x.shape[:-1], self.inner)
        y = VideoConv(x.shape[-1], bias=True, dtype=self.dtype, name="out")(mixed)
        return x + _norm(self.norm, self.dtype, "norm")(y, self.norm.frozen or not train)


class Stage(nn.Module):
    """Residual blocks, and the non-local blocks behind some of them."""

    blocks: tuple[BlockShape, ...]
    norm: NormConfig
    remat: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Clip, train: bool) -> Clip:
        bottleneck = nn.remat(Bottleneck, static_argnums=(2,)) if self.remat else Bottleneck
        for i, shape in enumerate(self.blocks):
            x = bottleneck(shape, self.norm, self.dtype, name=f"block_{i}")(x, train)
            if shape.non_local is not None:
                inner, name = shape.outputs // 2, f"non_local_{i}"
                x = NonLocal(inner, shape.non_local, self.norm, self.dtype, name=name)(x, train)
        return x


class ResNet3D(nn.Module):
    """One or two pathways over a clip."""

    config: ResNet3DConfig

    @nn.compact
    def __call__(
        self,
        slow: Float[Array, "b t h w 3"],
        fast: Float[Array, "b t2 h w 3"] | None = None,
        train: bool = False,
    ) -> Maps:
        """Maps at strides 4, 4, 8, 16, and 32 or 16. InputError where the fast pathway has not
        `fusion.stride` frames for a slow one.

        slow, fast: normalised frames; fast is None where there is one pathway.
        """
        c = self.config
        clips = [slow]
        if c.fusion is not None:
            wanted = c.fusion.stride * slow.shape[1]
            if fast is None or fast.shape[1] != wanted:
                found = "none" if fast is None else fast.shape[1]
                raise InputError(f"{found} fast frames for {slow.shape[1]} slow; expected {wanted}")
            clips.append(fast)
        maps = [[self._stem(pathway, x, train)] for pathway, x in enumerate(clips)]
        for number in range(2, 6):
            entering = [pathway[-1] for pathway in maps]
            if c.fusion is not None:
                fused = self._fuse(c.fusion, number - 1, entering[1], train)
                entering[0] = jnp.concatenate([entering[0], fused], axis=-1)
            for pathway, x in enumerate(entering):
                name = f"{PATHWAYS[pathway]}_stage_{number}"
                blocks = c.stage(pathway, number)
                maps[pathway].append(Stage(blocks, c.norm, c.remat, c.dtype, name=name)(x, train))
        return Maps(*map(tuple, maps)) if c.fusion is not None else Maps(tuple(maps[0]), ())

    def _stem(self, pathway: int, x: Clip, train: bool) -> Clip:
        c = self.config
        width, window = c.stem(pathway)
        stem = ConvNorm(
            width,
            c.norm,
            (window, 7, 7),
            (1, 2),
            dtype=c.dtype,
            name=f"{PATHWAYS[pathway]}_stem",
        )
        return max_pool(stem(x, train), (1, 3, 3), (1, 2, 2), c.stem_pool_padding)

    def _fuse(self, fusion: FusionConfig, number: int, x: Clip, train: bool) -> Clip:
        c, features, name = self.config, fusion.ratio * x.shape[-1], f"fusion_{number}"
        window, stride = (fusion.window, 1, 1), (fusion.stride, 1)
        if fusion.norm:
            return ConvNorm(features, c.norm, window, stride, dtype=c.dtype, name=name)(x, train)
        return VideoConv(features, window, stride, bias=True, dtype=c.dtype, name=name)(x)
