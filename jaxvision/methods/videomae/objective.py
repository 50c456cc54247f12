"""What pretraining predicts, and how far off it is (section 3.1; engine_for_pretraining.py)."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxvision.methods.videomae.model import MaskedAutoencoder
from jaxvision.nn.patches import patchify
from jaxvision.nn.video_transformer import block_multiply_adds


def pixel_targets(
    video: Float[Array, "b t h w 3"], tubelet: int, patch: int, normalise: bool = True
) -> Float[Array, "b n cube"]:
    """Pixel values in [0, 1] per cube, by default normalised per cube and colour channel.

    (x - mean) / (std + 1e-6) with the unbiased std over the cube's pixels of one channel; values
    are ordered (t, h, w, channel), channel fastest. float32.
    """
    cubes = patchify(video.astype(jnp.float32), tubelet, patch)
    if not normalise:
        return cubes
    mean, scale = cube_statistics(cubes)
    pixels = cubes.reshape(*cubes.shape[:2], -1, 3)
    return ((pixels - mean) / scale).reshape(cubes.shape)


def cube_statistics(
    cubes: Float[Array, "b n cube"],
) -> tuple[Float[Array, "b n 1 3"], Float[Array, "b n 1 3"]]:
    """Mean and (unbiased std + 1e-6) of each cube and channel: what turns targets into pixels."""
    pixels = cubes.reshape(*cubes.shape[:2], -1, 3)
    mean = jnp.mean(pixels, axis=2, keepdims=True)
    std = jnp.std(pixels, axis=2, keepdims=True, ddof=1)
    return mean, std + 1e-6


def seen_statistics(
    cubes: Float[Array, "b n cube"], seen: Bool[Array, "b n"]
) -> tuple[Float[Array, "b 3"], Float[Array, " b"]]:
    """Mean colour of the seen cubes of each clip, and the deviation of their pixels from it + 0.02
    (five grey levels of 8 bits: a clip of one colour is not blown up)."""
    pixels = cubes.reshape(*cubes.shape[:2], -1, 3)
    weights = seen.astype(jnp.float32)[..., None, None]
    count = jnp.sum(weights, axis=(1, 2)) * pixels.shape[2]
    colour = jnp.sum(pixels * weights, axis=(1, 2)) / count
    squares = jnp.square(pixels - colour[:, None, None]) * weights
    variance = jnp.sum(squares, axis=(1, 2, 3)) / (3 * count[:, 0])
    return colour, jnp.sqrt(variance) + 0.02


def reconstruction_loss(
    prediction: Float[Array, "b k cube"],
    target: Float[Array, "b k cube"],
    hidden: Float[Array, "b k"],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Sum of the mean squared errors of the decoded tokens the encoder did not see, and how many.

    The loss is their quotient over the whole batch, not a mean of per-sample means.
    """
    error = jnp.mean(jnp.square(prediction.astype(jnp.float32) - target), axis=-1)
    hidden = hidden.astype(jnp.float32)
    return jnp.sum(error * hidden), jnp.sum(hidden)


def forward_flops(model: MaskedAutoencoder, visible: int, decoded: int) -> float:
    """Operations of the matrix products of one clip's forward pass (a multiply-add is two)."""
    encoder, decoder = model.encoder_block, model.decoder_block
    values = model.grid.cube_values
    multiply_adds = (
        visible * values * encoder.width
        + block_multiply_adds(encoder, model.encoder_depth, visible)
        + visible * encoder.width * decoder.width
        + block_multiply_adds(decoder, model.decoder_depth, visible + decoded)
        + decoded * decoder.width * values
    )
    return 2.0 * multiply_adds
