"""Looking at what a masked autoencoder reconstructs."""

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, UInt8

from jaxvision.data.normalisation import to_unit
from jaxvision.methods.videomae import objective
from jaxvision.methods.videomae.model import MaskedAutoencoder
from jaxvision.nn.patches import patchify, unpatchify
from jaxvision.nn.video_transformer import take_tokens
from jaxvision.ops.token_masks import kept_indices
from jaxvision.tasks.clip_pictures import ClipPictures

GREY = 0.5
PICTURES = ClipPictures(("original", "masked", "reconstructed"), score="error")


def seen_cubes(visible: Int[Array, "b k"], tokens: int) -> Bool[Array, "b tokens"]:
    """Which of a clip's cubes are among the `visible` ones."""
    rows = jnp.arange(visible.shape[0])[:, None]
    return jnp.zeros((visible.shape[0], tokens), bool).at[rows, visible].set(True)


def reconstruct(
    model: MaskedAutoencoder, variables: Mapping, batch: Mapping, normalised: bool
) -> dict[str, UInt8[Array, "b t h w 3"]]:
    """`original`, `masked` (hidden cubes grey) and `reconstructed` videos, and each clip's `error`:
    the mean squared error over its hidden cubes, of pixels in [0, 1].

    All hidden tokens are decoded. Predictions of normalised pixels are turned back with each cube's
    own mean and deviation, as the paper's pictures do; those of a normalised clip with `colour` and
    `deviation` of its visible cubes.
    """
    grid = model.grid
    video = to_unit(batch["video"])
    cubes = patchify(video, grid.tubelet, grid.patch)
    visible = batch["visible"]
    rows = jnp.arange(cubes.shape[0])[:, None]
    seen = seen_cubes(visible, grid.tokens)
    hidden = kept_indices(seen.astype(jnp.int32), grid.tokens - visible.shape[1])
    prediction = model.apply(variables, batch["input"], visible, hidden).astype(jnp.float32)
    truth = take_tokens(cubes, hidden)
    if normalised:
        mean, scale = objective.cube_statistics(truth)
        pixels = prediction.reshape(*prediction.shape[:2], -1, 3)
        prediction = (pixels * scale + mean).reshape(prediction.shape)
    elif "colour" in batch:
        colour = jnp.tile(batch["colour"], grid.cube_values // 3)  # the channel is fastest
        prediction = prediction * batch["deviation"][:, None, None] + colour[:, None]
    size = (grid.frames, *grid.image_size)

    def to_video(values):
        video = unpatchify(cubes.at[rows, hidden].set(values), size, grid.tubelet, grid.patch)
        return jnp.round(jnp.clip(video, 0, 1) * 255).astype(jnp.uint8)

    return {
        "original": batch["video"],
        "masked": to_video(jnp.full_like(truth, GREY)),
        "reconstructed": to_video(prediction),
        "error": jnp.mean(jnp.square(prediction - truth), axis=(1, 2)),
    }
