"""Inter-frame attention (section 3.2): one attention map gives appearance and motion.

Tokens attend within windows of the map. How a map is cut into windows, and which tokens of a window
may meet, is NumPy at trace time: it depends only on the true map size. (The reference caches masks
by the product of the padded sides, so its result can depend on the sizes it saw before; here every
size has its own.)
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Int, Num

from jaxvision.nn.linear import linear, logical, norm, zeros
from jaxvision.nn.sharding import constrain

MASKED = -100.0


@dataclasses.dataclass(frozen=True)
class WindowGrid:
    """How a map of `height` x `width` tokens is cut: window side and cyclic shift, in tokens."""

    height: int
    width: int
    window: int = 7
    shift: int = 0

    @property
    def padding(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """((top, bottom), (left, right)): up to multiples of the window, centred."""
        pads = [-side % self.window for side in (self.height, self.width)]
        return tuple((pad // 2, pad - pad // 2) for pad in pads)  # type: ignore[return-value]

    @property
    def padded(self) -> tuple[int, int]:
        (top, bottom), (left, right) = self.padding
        return self.height + top + bottom, self.width + left + right

    @property
    def count(self) -> int:
        """Windows of one map."""
        height, width = self.padded
        return (height // self.window) * (width // self.window)

    def partition(self, x: Num[Array, "... h w c"]) -> Num[Array, "... n t c"]:
        """Zero-pad, roll by -shift, cut into row-major windows of row-major tokens."""
        leading, channels = x.shape[:-3], x.shape[-1]
        x = jnp.pad(x, [(0, 0)] * len(leading) + [*self.padding, (0, 0)])
        if self.shift:
            x = jnp.roll(x, (-self.shift, -self.shift), axis=(-3, -2))
        height, width = self.padded
        side = self.window
        x = x.reshape(*leading, height // side, side, width // side, side, channels)
        return jnp.swapaxes(x, -4, -3).reshape(*leading, self.count, side * side, channels)

    def merge(self, windows: Num[Array, "... n t c"]) -> Num[Array, "... h w c"]:
        """Inverse of `partition`: undo the windows and the roll, crop the padding."""
        leading, channels = windows.shape[:-3], windows.shape[-1]
        height, width = self.padded
        side = self.window
        x = windows.reshape(*leading, height // side, width // side, side, side, channels)
        x = jnp.swapaxes(x, -4, -3).reshape(*leading, height, width, channels)
        if self.shift:
            x = jnp.roll(x, (self.shift, self.shift), axis=(-3, -2))
        (top, _), (left, _) = self.padding
        return x[..., top : top + self.height, left : left + self.width, :]

    def _labels(self, rows: np.ndarray, columns: np.ndarray) -> Int[np.ndarray, "n t"]:
        side = self.window
        labels = 3 * rows[:, None] + columns[None, :]
        cut = labels.reshape(len(rows) // side, side, len(columns) // side, side)
        return cut.swapaxes(1, 2).reshape(self.count, side * side)

    def padding_labels(self) -> Int[np.ndarray, "n t"]:
        """Before, inside or after the true map, per axis (section 2.3 of the reference's masks)."""
        rows, columns = (
            np.repeat([0, 1, 2], [before, side, after])
            for side, (before, after) in zip((self.height, self.width), self.padding, strict=True)
        )
        return self._labels(rows, columns)

    def shift_labels(self) -> Int[np.ndarray, "n t"]:
        """Regions that were no neighbours before the roll."""
        rows, columns = (
            np.repeat([0, 1, 2], [side - self.window, self.window - self.shift, self.shift])
            for side in self.padded
        )
        return self._labels(rows, columns)

    def mask(self) -> Float[Array, "n t t"] | None:
        """0 or -100, added to the logits; None where every pair may meet.

        The padding labels are not rolled with the tokens. So in shifted blocks some true pairs are
        cut and some tokens see padding: the published weights were trained with it.
        """
        separate = None
        if self.padded != (self.height, self.width):
            separate = _differ(self.padding_labels())
        if self.shift:
            shifted = _differ(self.shift_labels())
            separate = shifted if separate is None else separate | shifted
        return None if separate is None else jnp.where(separate, MASKED, 0.0)


def _differ(labels: np.ndarray) -> Array:
    # Compared on the device: the table of pairs is a window's area times larger than the labels.
    label = jnp.asarray(labels, jnp.int8)
    return label[:, :, None] != label[:, None, :]


def coordinate_grid(height: int, width: int) -> Float[np.ndarray, "h w 2"]:
    """(x, y) of every token in [-1, 1], end points included; a side of one token gives -1."""
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)
    return np.stack(np.meshgrid(x, y), axis=-1)


@dataclasses.dataclass(frozen=True, kw_only=True)
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
    return norm(name, epsilon=epsilon, dtype=dtype, exact_variance=True)


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
        dense = functools.partial(linear, dtype=c.dtype)
        head_dim = c.width // c.heads
        query = dense((c.heads, head_dim), ("embed", "heads", None), name="query")(own)
        key_value = dense((2, c.heads, head_dim), ("embed", None, "heads", None), name="key_value")(
            other
        )
        place = dense(
            (c.heads, c.motion_width // c.heads), (None, "heads", None), name="coordinates"
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
        from_heads = functools.partial(dense, axes=("heads", None, "embed"), contracted=2)
        appearance = from_heads(c.width, name="appearance_out")(mixed)
        return appearance, from_heads(c.motion_width, name="motion_out")(moved)


class DepthwiseConv(nn.Module):
    """A 3 x 3 convolution of every channel by itself, as nine shifted products: they fuse into one
    pass over memory, where grouped convolutions are slow on most backends."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        height, width, channels = x.shape[1:]
        init = logical(nn.initializers.normal(math.sqrt(2 / 9)), None, None, "mlp")
        kernel = self.param("kernel", init, (3, 3, channels)).astype(self.dtype)
        bias = self.param("bias", logical(zeros, "mlp"), (channels,)).astype(self.dtype)
        padded = jnp.pad(x.astype(self.dtype), ((0, 0), (1, 1), (1, 1), (0, 0)))
        shifted = (
            padded[:, i : i + height, j : j + width] * kernel[i, j]
            for i in range(3)
            for j in range(3)
        )
        return functools.reduce(jnp.add, shifted) + bias


class DepthwiseMlp(nn.Module):
    """Linear, depthwise 3 x 3 convolution on the map, exact GELU, linear."""

    config: BlockConfig

    @nn.compact
    def __call__(self, x: Float[Array, "b h w d"]) -> Float[Array, "b h w d"]:
        c = self.config
        hidden = int(c.width * c.mlp_ratio)
        x = linear(hidden, ("embed", "mlp"), dtype=c.dtype, name="up")(x)
        x = DepthwiseConv(dtype=c.dtype, name="depthwise")(x)
        x = nn.gelu(constrain(x, "batch", None, None, "mlp"), approximate=False)
        return linear(c.width, ("mlp", "embed"), dtype=c.dtype, name="down")(x)


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
