"""Video Swin transformers (2106.13230): attention within shifted windows of a video."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxvision.nn.initializers import KERNEL_INITIALIZERS
from jaxvision.nn.linear import linear, logical, norm, zeros
from jaxvision.nn.patches import CubeEmbedding, patchify
from jaxvision.nn.sharding import constrain
from jaxvision.nn.transformer import drop_branches, drop_path_rates

Tokens = Float[Array, "b t h w c"]
Size = tuple[int, ...]  # frames, rows, columns
NORM_EPSILON = 1e-5
# What is added to the score of two places that the shift alone brought into one window.
APART = -100.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Swin3DConfig:
    """patch: frames, rows and columns of a token's pixels.  width: of the first stage; each later
    one has twice as much.  depths, heads: of the stages.  window: tokens along (t, h, w) that
    attend to each other.  drop_path: rate of the last block; the first has 0."""

    patch: Size = (2, 4, 4)
    width: int = 128
    depths: tuple[int, ...] = (2, 2, 18, 2)
    heads: tuple[int, ...] = (4, 8, 16, 32)
    window: Size = (8, 7, 7)
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    patch_norm: bool = True
    drop_path: float = 0.0
    remat: bool = False
    dtype: jnp.dtype = jnp.float32

    @property
    def outputs(self) -> int:
        """Channels of the last stage."""
        return self.width * 2 ** (len(self.depths) - 1)

    @property
    def offsets(self) -> int:
        """How far two tokens of a window can be apart: rows of a table."""
        return int(np.prod([2 * side - 1 for side in self.window]))


def offset_index(window: Size) -> Int[np.ndarray, "n n"]:
    """The row of the table for each pair of a window's tokens."""
    places = np.array(list(itertools.product(*map(range, window))))
    apart = places[:, None] - places[None] + np.array(window) - 1
    t, h, w = np.moveaxis(apart, -1, 0)
    return (t * (2 * window[1] - 1) + h) * (2 * window[2] - 1) + w


def fitted_window(size: Size, window: Size, shifted: bool) -> tuple[Size, Size]:
    """(window, shift) for a map of `size`: on an axis that a window covers, it is as long as the
    axis and does not move."""
    fits = [side <= most for side, most in zip(size, window, strict=True)]
    used = tuple(min(side, most) for side, most in zip(size, window, strict=True))
    shift = tuple(
        0 if whole or not shifted else most // 2 for whole, most in zip(fits, window, strict=True)
    )
    return used, shift


def partition(x: Tokens, window: Size) -> Float[Array, "b k n c"]:
    """Tokens by window; sides are multiples of the window's."""
    b, *size, c = x.shape
    counts = [side // most for side, most in zip(size, window, strict=True)]
    split = [part for pair in zip(counts, window, strict=True) for part in pair]
    x = x.reshape(b, *split, c).transpose(0, 1, 3, 5, 2, 4, 6, 7)
    return x.reshape(b, int(np.prod(counts)), int(np.prod(window)), c)


def joined(windows: Float[Array, "b k n c"], window: Size, size: Size) -> Tokens:
    """Inverse of `partition`, for a map of `size`."""
    counts = [side // most for side, most in zip(size, window, strict=True)]
    x = windows.reshape(windows.shape[0], *counts, *window, -1).transpose(0, 1, 4, 2, 5, 3, 6, 7)
    return x.reshape(windows.shape[0], *size, -1)


def shift_mask(size: Size, window: Size, shift: Size) -> Float[np.ndarray, "k n n"]:
    """Added to the scores of each window: 0, or `APART` between tokens that the shift brought
    together from both ends of the map."""
    regions = np.zeros((1, *size, 1), np.int64)
    for axis, (side, wide, moved) in enumerate(zip(size, window, shift, strict=True)):
        place = np.arange(side)
        region = (place >= side - wide).astype(np.int64) + (place >= side - moved)
        region = region if moved else np.zeros_like(region)
        regions = regions * 3 + region.reshape([-1 if i == axis + 1 else 1 for i in range(5)])
    by_window = np.asarray(partition(regions, window))[0, :, :, 0]  # type: ignore[arg-type]
    same = by_window[:, :, None] == by_window[:, None, :]
    return np.where(same, 0.0, APART).astype(np.float32)


class WindowAttention(nn.Module):
    """Multi-head attention within each window, with a learnt bias for each offset of two tokens.

    window: the full one, which the table is of; a smaller one reads the first rows and columns of
    its index, as published.
    """

    heads: int
    window: Size
    qkv_bias: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, x: Float[Array, "b k n c"], mask: Float[Array, "k n n"] | None
    ) -> Float[Array, "b k n c"]:
        n, width = x.shape[-2:]
        dim, kernel = width // self.heads, KERNEL_INITIALIZERS["normal_0.02"]
        index = offset_index(self.window)
        shape = (int(np.prod([2 * side - 1 for side in self.window])), self.heads)
        init = logical(nn.initializers.normal(0.02), None, "heads")
        table = self.param("offset_bias", init, shape)
        qkv = linear(
            (3, self.heads, dim),
            ("embed", None, "heads", None),
            dtype=self.dtype,
            kernel=kernel,
            bias=zeros if self.qkv_bias else None,
            name="qkv",
        )(x)
        query, key, value = jnp.moveaxis(qkv, -3, 0)
        scores = jnp.einsum(
            "bknhd,bkmhd->bkhnm", query * dim**-0.5, key, preferred_element_type=jnp.float32
        )
        scores = scores + jnp.moveaxis(table[index[:n, :n]], -1, 0)
        if mask is not None:
            scores = scores + mask[:, None]
        weights = jax.nn.softmax(scores).astype(self.dtype)
        mixed = jnp.einsum("bkhnm,bkmhd->bknhd", weights, value)
        axes = ("heads", None, "embed")
        return linear(width, axes, dtype=self.dtype, kernel=kernel, contracted=2, name="out")(mixed)


class SwinBlock(nn.Module):
    """Attention within windows, shifted by half of one in every second block, and an MLP."""

    config: Swin3DConfig
    heads: int
    shifted: bool
    drop_path: float

    @nn.compact
    def __call__(self, x: Tokens, deterministic: bool) -> Tokens:
        c, size = self.config, x.shape[1:4]
        window, shift = fitted_window(size, c.window, self.shifted)
        # 1. Normed tokens, zeros up to whole windows, moved.
        y = _norm(c, "attention_norm")(x)
        room = [(0, -side % wide) for side, wide in zip(size, window, strict=True)]
        y = jnp.pad(y, ((0, 0), *room, (0, 0)))
        padded, axes = y.shape[1:4], (1, 2, 3)
        mask = None
        if any(shift):
            y = jnp.roll(y, tuple(-s for s in shift), axes)
            mask = jnp.asarray(shift_mask(padded, window, shift))
        # 2. Attention, and everything back.
        attention = WindowAttention(self.heads, c.window, c.qkv_bias, c.dtype, name="attention")
        y = joined(attention(partition(y, window), mask), window, padded)
        if any(shift):
            y = jnp.roll(y, shift, axes)
        y = y[:, : size[0], : size[1], : size[2]]
        x = x + self._kept(y, deterministic)
        # 3. The MLP.
        y, width = _norm(c, "mlp_norm")(x), x.shape[-1]
        hidden = int(width * c.mlp_ratio)
        up = linear(hidden, ("embed", "mlp"), dtype=c.dtype, name="up")
        down = linear(width, ("mlp", "embed"), dtype=c.dtype, name="down")
        y = down(nn.gelu(up(y), approximate=False))
        return constrain(x + self._kept(y, deterministic), "batch", None, None, None, "embed")

    def _kept(self, branch: Tokens, deterministic: bool) -> Tokens:
        if deterministic or self.drop_path == 0:
            return branch
        dropped = drop_branches(branch, self.drop_path, self.make_rng("dropout"))
        return dropped.astype(branch.dtype)


class Merging(nn.Module):
    """Four neighbours become one token of twice their width."""

    config: Swin3DConfig

    @nn.compact
    def __call__(self, x: Tokens) -> Tokens:
        x = jnp.pad(x, ((0, 0), (0, 0), (0, x.shape[2] % 2), (0, x.shape[3] % 2), (0, 0)))
        four = [x[:, :, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        x = _norm(self.config, "norm")(jnp.concatenate(four, axis=-1))
        dtype = self.config.dtype
        layer = linear(x.shape[-1] // 2, ("embed", "mlp"), dtype=dtype, bias=None, name="reduction")
        return layer(x)


def _norm(config: Swin3DConfig, name: str) -> nn.LayerNorm:
    return norm(name, epsilon=NORM_EPSILON, dtype=config.dtype)


class Swin3D(nn.Module):
    """A normalised video to the maps of its stages."""

    config: Swin3DConfig

    @nn.compact
    def __call__(
        self, video: Float[Array, "b t h w 3"], deterministic: bool = True
    ) -> tuple[Tokens, tuple[Tokens, ...]]:
        """(the last stage's map, normed; the embedding's and every stage's before that). The video
        is padded with zeros at its ends to whole patches."""
        c = self.config
        # 1. Patches.
        room = [(0, -side % cut) for side, cut in zip(video.shape[1:4], c.patch, strict=True)]
        video = jnp.pad(video.astype(c.dtype), ((0, 0), *room, (0, 0)))
        size = [side // cut for side, cut in zip(video.shape[1:4], c.patch, strict=True)]
        cubes = patchify(video, c.patch[0], c.patch[1])
        x = CubeEmbedding(c.width, dtype=c.dtype, name="patch_embedding")(cubes)
        x = x.reshape(video.shape[0], *size, c.width)
        if c.patch_norm:
            x = _norm(c, "patch_norm")(x)
        found = [x]
        # 2. Stages; all but the last merge their tokens.
        rates = iter(drop_path_rates(c.drop_path, sum(c.depths)))
        block = nn.remat(SwinBlock, static_argnums=(2,)) if c.remat else SwinBlock
        for stage, (depth, heads) in enumerate(zip(c.depths, c.heads, strict=True)):
            for i in range(depth):
                name = f"stage_{stage}_block_{i}"
                x = block(c, heads, bool(i % 2), float(next(rates)), name=name)(x, deterministic)
            if stage < len(c.depths) - 1:
                x = Merging(c, name=f"merging_{stage}")(x)
            found.append(x)
        return _norm(c, "norm")(x), tuple(found)
