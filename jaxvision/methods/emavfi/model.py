"""The interpolation network (section 3): features, motion in two levels, warping and refinement.

In the order of a forward pass: flow and blending mask, coarse to fine (`FlowHead`); warping both
frames to the wanted time and blending them; a U-Net that corrects the blend (`RefinementUNet`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxvision.methods.emavfi.extractor import ConvPReLU, ConvStack, Features, MotionExtractor
from jaxvision.methods.emavfi.variants import NetworkConfig
from jaxvision.nn.convolution import Conv, PReLU
from jaxvision.nn.initializers import torch_default_bias
from jaxvision.nn.linear import logical
from jaxvision.nn.sharding import constrain
from jaxvision.ops.image_sampling import resize_bilinear, warp

Pair = Float[Array, "b 2 h w c"]
Place = Int[Array, ""] | int
Time = Float[Array, " b"] | Float[Array, ""] | float
# What sides must be multiples of.
DIVISOR = 16


class Motion(NamedTuple):
    """flow: where to read frame 0 (channels 0-1: x, y) and frame 1 (2-3), in pixels.
    mask: logits of frame 0's share in the blend."""

    flow: Float[Array, "b h w 4"]
    mask: Float[Array, "b h w 1"]


def pixel_shuffle_twice(x: Float[Array, "b h w c"]) -> Float[Array, "b h4 w4 c16"]:
    """Two successive PixelShuffle(2): four times the size, a sixteenth of the channels.

    The channel order is not that of one PixelShuffle(4).
    """
    b, h, w, channels = x.shape
    x = x.reshape(b, h, w, channels // 16, 2, 2, 2, 2)  # (..., c, dy2, dx2, dy1, dx1)
    return x.transpose(0, 1, 6, 4, 2, 7, 5, 3).reshape(b, 4 * h, 4 * w, channels // 16)


class FlowHead(nn.Module):
    """Three convolutions on features of 1/scale of the image, at 4/scale of its size.

    Even the last one has a PReLU: it acts on flow and mask themselves. Results are float32.
    """

    scale: int
    hidden: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        features: Float[Array, "b h w c"],
        images: Float[Array, "b h1 w1 k"],
        flow: Float[Array, "b h1 w1 4"] | None = None,
    ) -> Motion:
        """features: at 1/scale of the size.  images, flow (pixels): what is known at full size."""
        reduction = 4 / self.scale
        known = [resize_bilinear(images, reduction)]
        if flow is not None:
            known.append(resize_bilinear(flow, reduction) * reduction)
        parts = [pixel_shuffle_twice(features), *(y.astype(self.dtype) for y in known)]
        x = jnp.concatenate(parts, axis=-1)
        for number, width in enumerate((self.hidden, self.hidden, 5)):
            layer = ConvPReLU(width, torch_default=True, dtype=self.dtype, name=f"layer_{number}")
            x = layer(x)
        x = resize_bilinear(x.astype(jnp.float32), self.scale // 4)
        return Motion(x[..., :4] * (self.scale / 4), x[..., 4:])


def warp_pair(pair: Pair, flow: Float[Array, "b h w 4"], top: Place = 0, left: Place = 0) -> Pair:
    """Frame 0 by flow[..., :2], frame 1 by flow[..., 2:]; a smaller flow is that of the part at
    (top, left)."""
    b, h, w, _ = flow.shape
    flows = flow.reshape(b, h, w, 2, 2).transpose(0, 3, 1, 2, 4).reshape(2 * b, h, w, 2)
    warped = warp(pair.reshape(2 * b, *pair.shape[2:]), flows, top=top, left=left)
    return warped.reshape(b, 2, h, w, -1)


def blend(warped: Pair, mask: Float[Array, "b h w 1"]) -> Float[Array, "b h w c"]:
    """sigmoid(mask) of frame 0, the rest of frame 1."""
    share = jax.nn.sigmoid(mask)
    return warped[:, 0] * share + warped[:, 1] * (1 - share)


def warp_features(
    appearance: tuple[Pair, ...], flow: Float[Array, "b h w 4"], top: Place = 0, left: Place = 0
) -> tuple[Pair, ...]:
    """Every level of the appearance features, the flow halved from one to the next.

    top, left: of the part that a smaller flow is for, at full size; multiples of 16.
    """
    warped = []
    for level, features in enumerate(appearance):
        if level:
            flow = resize_bilinear(flow, 0.5) * 0.5
        warped.append(warp_pair(features, flow, top // 2**level, left // 2**level))
    return tuple(warped)


class UpConvPReLU(nn.Module):
    """A transposed 4 x 4 convolution of stride 2 and padding 1 (twice the size), and its PReLU.

    Each output pixel sees 2 x 2 inputs, and the four phases of a 2 x 2 output cell use disjoint
    quarters of the kernel. So one 2 x 2 convolution gives all four phases as channels, without the
    zeros that dilating the input would multiply. The kernel is kept as for the dilated form
    (4, 4, in, out).
    """

    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        b, h, w, inputs = x.shape
        # PyTorch counts a transposed convolution's fan-in over its outputs.
        bound = torch_default_bias(16 * self.features)
        init = logical(bound, None, None, None, "embed")
        kernel = self.param("kernel", init, (4, 4, inputs, self.features))
        bias = self.param("bias", logical(bound, "embed"), (self.features,))
        # Tap 2a + p along an axis belongs to window position a and output phase p.
        phases = kernel.reshape(2, 2, 2, 2, inputs, self.features).transpose(0, 2, 4, 1, 3, 5)
        # Padded beforehand: on CPU the kernel gradient of a padded even window is far slower.
        x = jnp.pad(x.astype(self.dtype), ((0, 0), (1, 1), (1, 1), (0, 0)))
        y = jax.lax.conv_general_dilated(
            x,
            phases.reshape(2, 2, inputs, 4 * self.features).astype(self.dtype),
            (1, 1),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        ).reshape(b, h + 1, w + 1, 2, 2, self.features)
        # Phase 0 looks one pixel back, phase 1 one ahead.
        rows = jnp.stack([y[:, :h, :, 0], y[:, 1:, :, 1]], axis=2)
        cells = jnp.stack([rows[:, :, :, :w, 0], rows[:, :, :, 1:, 1]], axis=4)
        y = cells.reshape(b, 2 * h, 2 * w, self.features) + bias.astype(self.dtype)
        return PReLU(name="prelu")(constrain(y, "batch", None, None, "embed"))


class RefinementUNet(nn.Module):
    """The correction of a blend, in (-1, 1). Sides must be multiples of 16."""

    width: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, pair: Pair, warped: Pair, motion: Motion, context: tuple[Pair, ...]
    ) -> Float[Array, "b h w 3"]:
        """pair, warped: the frames, given and warped.  context: warped features, five levels."""
        width, dtype = self.width, self.dtype

        def concatenate(*parts: Array) -> Array:
            return jnp.concatenate([part.astype(dtype) for part in parts], axis=-1)

        frames = (of[:, number] for of in (pair, warped) for number in (0, 1))
        x = concatenate(*frames, motion.mask, motion.flow)
        skips = []
        for level in range(4):
            x = concatenate(x, context[level][:, 0], context[level][:, 1])
            x = ConvStack(2 * width * 2**level, 2, stride=2, dtype=dtype, name=f"down_{level}")(x)
            skips.append(x)
        x = concatenate(x, context[4][:, 0], context[4][:, 1])
        skips.pop()
        for level in range(4):
            x = UpConvPReLU(width * 2 ** (3 - level), dtype=dtype, name=f"up_{level}")(x)
            if skips:
                x = concatenate(x, skips.pop())
        residual = Conv(3, dtype=dtype, name="residual")(x).astype(jnp.float32)
        return 2 * jax.nn.sigmoid(residual) - 1


class Interpolation(NamedTuple):
    """frame: the answer, in [0, 1].  merged: the blend of each level, before refinement.
    motion: of each level, at full size."""

    frame: Float[Array, "b h w 3"]
    merged: tuple[Float[Array, "b h w 3"], ...]
    motion: tuple[Motion, ...]


class InterpolationNetwork(nn.Module):
    """The frame at time t between two frames.

    Frames come as a pair [b, 2, h, w, 3], BGR in [0, 1]. t in (0, 1) is one number or one per
    sample; weights trained for t = 0.5 alone do not heed it sensibly.
    """

    config: NetworkConfig

    def setup(self):
        c = self.config
        self.extractor = MotionExtractor(c)
        self.head_16 = FlowHead(16, c.head_hidden, c.dtype)
        self.head_8 = FlowHead(8, c.head_hidden, c.dtype)
        self.unet = RefinementUNet(c.unet_width, c.dtype)

    def features(self, pair: Float[Array, "b 2 h w 3"]) -> Features:
        """What does not depend on t, at any size."""
        return self.extractor(pair)

    def motion(
        self, pair: Float[Array, "b 2 h w 3"], features: Features, t: Time
    ) -> tuple[Motion, ...]:
        """Flow and mask of both levels, coarse first; sides are multiples of 16."""
        t = jnp.broadcast_to(jnp.asarray(t, jnp.float32), pair.shape[:1])[:, None, None, None]
        frames = jnp.concatenate([pair[:, 0], pair[:, 1]], axis=-1)
        coarse = self.head_16(_at_time(features, 1, t), frames)
        warped = warp_pair(pair, coarse.flow)
        known = jnp.concatenate([frames, warped[:, 0], warped[:, 1], coarse.mask], axis=-1)
        change = self.head_8(_at_time(features, 0, t), known, coarse.flow)
        return coarse, Motion(coarse.flow + change.flow, coarse.mask + change.mask)

    def refine(
        self,
        pair: Float[Array, "b 2 h w 3"],
        appearance: tuple[Float[Array, "b 2 h w c"], ...],
        motion: Motion,
        top: Int[Array, ""] | int = 0,
        left: Int[Array, ""] | int = 0,
    ) -> tuple[Float[Array, "b h2 w2 3"], Float[Array, "b h2 w2 3"]]:
        """(frame, blend) from motion in full-size pixels and full-size appearance features.

        Motion of a part alone, whose corner (top, left) and sides are multiples of 16, gives that
        part; within 80 pixels of an edge inside the frame it differs from the whole.
        """
        warped = warp_pair(pair, motion.flow, top, left)
        merged = blend(warped, motion.mask)
        context = warp_features(appearance, motion.flow, top, left)
        part = (*pair.shape[:2], *motion.flow.shape[1:3], 3)
        given = jax.lax.dynamic_slice(pair, (0, 0, top, left, 0), part)
        frame = merged + self.unet(given, warped, motion, context)
        return jnp.clip(frame, 0, 1), merged

    def __call__(self, pair: Float[Array, "b 2 h w 3"], t: Time) -> Interpolation:
        """Everything; what training needs."""
        features = self.features(pair)
        coarse, fine = self.motion(pair, features, t)
        frame, merged = self.refine(pair, features.appearance, fine)
        first = blend(warp_pair(pair, coarse.flow), coarse.mask)
        return Interpolation(frame, (first, merged), (coarse, fine))


def _at_time(features: Features, stage: int, t: Array) -> Float[Array, "b h w c"]:
    """Motion towards time t (each frame's scaled by its distance) beside both appearances."""
    motion, appearance = features.motion[stage], features.appearance[3 + stage]
    dtype = motion.dtype
    return jnp.concatenate(
        [
            motion[:, 0] * t.astype(dtype),
            motion[:, 1] * (1 - t).astype(dtype),
            appearance[:, 0],
            appearance[:, 1],
        ],
        axis=-1,
    )
