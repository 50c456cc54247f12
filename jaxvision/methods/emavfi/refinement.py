"""Warping both frames to the wanted time, blending, and a U-Net that corrects the blend."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxvision.methods.emavfi.heads import Motion
from jaxvision.methods.emavfi.layers import Conv, ConvStack, UpConvPReLU
from jaxvision.ops.image_sampling import resize_bilinear, warp

Pair = Float[Array, "b 2 h w c"]
Place = Int[Array, ""] | int


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

        x = concatenate(
            pair[:, 0], pair[:, 1], warped[:, 0], warped[:, 1], motion.mask, motion.flow
        )
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
