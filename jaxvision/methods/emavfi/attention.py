"""Inter-frame attention (section 3.2): one attention map gives appearance and motion."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.methods.emavfi.layers import DepthwiseConv
from jaxvision.methods.emavfi.windows import WindowGrid
from jaxvision.nn.sharding import constrain


@dataclasses.dataclass(frozen=True)
class BlockConfig:
    """width, motion_width: channels of the stream and of a block's motion feature.
    heads: of both.  window: tokens along a side.  mlp_ratio: hidden / width.
    """

    width: int
    motion_width: int
    heads: int
    window: int = 7
    mlp_ratio: float = 4.0
    norm_epsilon: float = 1e-6
    dtype: jnp.dtype = jnp.float32


def layer_norm(name: str, dtype: jnp.dtype, epsilon: float = 1e-6) -> nn.LayerNorm:
    """LayerNorm with float32 statistics."""
    return nn.LayerNorm(
        epsilon=epsilon,
        dtype=dtype,
        use_fast_variance=False,
        scale_init=nn.with_logical_partitioning(nn.initializers.ones, ("embed",)),
        bias_init=nn.with_logical_partitioning(nn.initializers.zeros, ("embed",)),
        name=name,
    )


def _dense(features, names: tuple[str | None, ...], bias: tuple[str | None, ...], dtype, **more):
    return nn.DenseGeneral(
        features,
        dtype=dtype,
        kernel_init=nn.with_logical_partitioning(nn.initializers.normal(0.02), names),
        bias_init=nn.with_logical_partitioning(nn.initializers.zeros, bias),
        **more,
    )


class InterFrameAttention(nn.Module):
    """Tokens of one frame look at the same window of the other frame.

    appearance = project(attention @ value); motion = project(attention @ place - place), where
    place is the linearly embedded coordinate: how far away the attended tokens lie.
    """

    config: BlockConfig

    @nn.compact
    def __call__(
        self,
        own: Float[Array, "... n t d"],
        other: Float[Array, "... n t d"],
        coordinates: Float[Array, "... n t 2"],
        mask: Float[Array, "n t t"] | None = None,
    ) -> tuple[Float[Array, "... n t d"], Float[Array, "... n t m"]]:
        """(appearance, motion). own: queries.  other: keys, values.  mask: added to the logits."""
        c = self.config
        to_heads = functools.partial(_dense, dtype=c.dtype, axis=-1)
        head_dim = c.width // c.heads
        query = to_heads(
            (c.heads, head_dim), ("embed", "heads", None), ("heads", None), name="query"
        )(own)
        key_value = to_heads(
            (2, c.heads, head_dim),
            ("embed", None, "heads", None),
            (None, "heads", None),
            name="key_value",
        )(other)
        place = to_heads(
            (c.heads, c.motion_width // c.heads),
            (None, "heads", None),
            ("heads", None),
            name="coordinates",
        )(coordinates)
        key, value = key_value[..., 0, :, :], key_value[..., 1, :, :]
        logits = jnp.einsum(
            "...qhd,...khd->...hqk",
            query * head_dim**-0.5,
            key,
            preferred_element_type=jnp.float32,
        )
        if mask is not None:
            logits = logits + mask[:, None]
        weights = jax.nn.softmax(logits, axis=-1).astype(c.dtype)
        mixed = jnp.einsum("...hqk,...khd->...qhd", weights, value)
        moved = jnp.einsum("...hqk,...khd->...qhd", weights, place) - place
        from_heads = functools.partial(_dense, dtype=c.dtype, axis=(-2, -1))
        names = ("heads", None, "embed")
        appearance = from_heads(c.width, names, ("embed",), name="appearance_out")(mixed)
        motion = from_heads(c.motion_width, names, ("embed",), name="motion_out")(moved)
        return appearance, motion


class DepthwiseMlp(nn.Module):
    """Linear, depthwise 3 x 3 convolution on the map, exact GELU, linear."""

    config: BlockConfig

    @nn.compact
    def __call__(self, x: Float[Array, "b h w d"]) -> Float[Array, "b h w d"]:
        c = self.config
        hidden = int(c.width * c.mlp_ratio)
        x = _dense(hidden, ("embed", "mlp"), ("mlp",), c.dtype, name="up")(x)
        x = DepthwiseConv(dtype=c.dtype, name="depthwise")(x)
        x = nn.gelu(constrain(x, "batch", None, None, "mlp"), approximate=False)
        return _dense(c.width, ("mlp", "embed"), ("embed",), c.dtype, name="down")(x)


class MotionBlock(nn.Module):
    """Windowed inter-frame attention, then the MLP. shift: of the windows, in tokens."""

    config: BlockConfig
    shift: int = 0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b 2 h w d"], coordinates: Float[Array, "h w 2"]
    ) -> tuple[Float[Array, "b 2 h w d"], Float[Array, "b 2 h w m"]]:
        """(stream, motion) of a pair of frames; axis 1 is the frame."""
        c = self.config
        b, frames, height, width, _ = x.shape
        grid = WindowGrid(height, width, c.window, self.shift)
        own = layer_norm("attention_norm", c.dtype, c.norm_epsilon)(grid.partition(x))
        appearance, motion = InterFrameAttention(c, name="attention")(
            own, own[:, ::-1], grid.partition(coordinates), grid.mask()
        )
        # The residual is the normalised stream, not x: the published model drops x here.
        x = grid.merge(own + appearance)
        normed = layer_norm("mlp_norm", c.dtype, c.norm_epsilon)(x)
        mlp = DepthwiseMlp(c, name="mlp")(normed.reshape(b * frames, height, width, -1))
        return x + mlp.reshape(x.shape), grid.merge(motion)
