"""From features to flow and blending mask, coarse to fine."""

from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.methods.emavfi.layers import ConvPReLU
from jaxvision.ops.image_sampling import resize_bilinear


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
