"""Convolutions of clips without a 3D convolution, and their max pooling.

A compiler's 3D convolution is slow where one of the window's sides is 1 or the input is narrow, and
its gradient more so. A window over frames alone is one product a tap; over a frame alone, a 2D
convolution of all frames; over both, a 2D convolution of the taps' frames: side by side in the
channels where these are few (a stem's 5 x 3), summed tap by tap where they are many.
benchmarks/resnet3d.py compares each with the raw form.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.errors import InputError

Clip = Float[Array, "b t h w c"]
# Channels of all taps up to which frames are folded into channels: the lanes of one register.
FOLDED_CHANNELS = 128


def video_convolution(
    x: Clip,
    kernel: Float[Array, "kt kh kw c d"],
    stride: tuple[int, int] = (1, 1),
    dilation: int = 1,
) -> Float[Array, "b t2 h2 w2 d"]:
    """x convolved, padded by half the window on every side: by kt // 2 frames, and by
    dilation * (kh // 2) pixels.

    stride: of frames, and of pixels.  dilation: of pixels.
    """
    taps, rows, columns, channels = kernel.shape[:4]
    frame_stride, pixel_stride = stride
    if rows == columns == 1:
        x = x[:, :, ::pixel_stride, ::pixel_stride]
        shifted = _shifted(x, taps, frame_stride)
        if taps * channels <= FOLDED_CHANNELS:
            return jnp.concatenate(shifted, axis=-1) @ kernel.reshape(taps * channels, -1)
        return _sum([frames @ kernel[tap, 0, 0] for tap, frames in enumerate(shifted)])
    shifted = _shifted(x, taps, frame_stride)
    if taps * channels <= FOLDED_CHANNELS:
        folded = kernel.transpose(1, 2, 0, 3, 4).reshape(rows, columns, taps * channels, -1)
        return _by_frame(jnp.concatenate(shifted, axis=-1), folded, pixel_stride, dilation)
    by_tap = enumerate(shifted)
    return _sum([_by_frame(x, kernel[tap], pixel_stride, dilation) for tap, x in by_tap])


def _sum(parts: list[Clip]) -> Clip:
    return functools.reduce(jnp.add, parts)


def _shifted(x: Clip, taps: int, stride: int) -> list[Clip]:
    """The frames that each tap of a window over time meets."""
    if taps == 1:
        return [x[:, ::stride]]
    frames = x.shape[1]
    count = (frames + 2 * (taps // 2) - taps) // stride + 1
    padded = jnp.pad(x, ((0, 0), (taps // 2, taps // 2), (0, 0), (0, 0), (0, 0)))
    return [padded[:, tap : tap + (count - 1) * stride + 1 : stride] for tap in range(taps)]


def _by_frame(x: Clip, kernel: Float[Array, "kh kw c d"], stride: int, dilation: int) -> Clip:
    """A 2D convolution of every frame."""
    b, t = x.shape[:2]
    y = jax.lax.conv_general_dilated(
        x.reshape(b * t, *x.shape[2:]),
        kernel,
        (stride, stride),
        [(dilation * (side // 2),) * 2 for side in kernel.shape[:2]],
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return y.reshape(b, t, *y.shape[1:])


def max_pool(
    x: Clip, window: tuple[int, int, int], stride: tuple[int, int, int], padding: int = 0
) -> Float[Array, "b t2 h2 w2 c"]:
    """The maximum of each window of (frames, rows, columns); sides that do not fit are cut off.

    padding: pixels on every side of a frame, below every value.

    Axis by axis, as a maximum of strided slices: the gradient of a reduced window is a scatter.
    Of equal maxima each gets a share of the gradient; behind a ReLU, where zeros tie, none arrives.
    InputError where a side is smaller than the window.
    """
    for axis, (size, step) in enumerate(zip(window, stride, strict=True), start=1):
        if size == step == 1:
            continue
        if padding and axis > 1:
            border = [(0, 0)] * x.ndim
            border[axis] = (padding, padding)
            x = jnp.pad(x, border, constant_values=-jnp.inf)
        if x.shape[axis] < size:
            raise InputError(f"maps {x.shape[1:4]}: too small for windows of {window} to pool")
        last = (x.shape[axis] - size) // step * step + 1
        slices = [jax.lax.slice_in_dim(x, i, i + last, step, axis) for i in range(size)]
        x = slices[0]
        for other in slices[1:]:
            x = jnp.maximum(x, other)
    return x
