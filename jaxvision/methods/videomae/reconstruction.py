"""Looking at what a masked autoencoder reconstructs."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt8

from jaxvision.methods.videomae import inputs, masking, objective
from jaxvision.methods.videomae.model import MaskedAutoencoder, take_tokens
from jaxvision.nn.patches import patchify, unpatchify

GREY = 0.5


def reconstruct(
    model: MaskedAutoencoder, variables: Mapping, batch: Mapping, normalised: bool
) -> dict[str, UInt8[Array, "b t h w 3"]]:
    """`original`, `masked` (hidden cubes grey) and `reconstructed` videos, and each clip's `error`.

    All hidden tokens are decoded. Predictions of normalised pixels are turned back with each cube's
    own mean and deviation, as the paper's pictures do.
    """
    grid = model.grid
    video = inputs.to_unit(batch["video"])
    cubes = patchify(video, grid.tubelet, grid.patch)
    visible = batch["visible"]
    seen = jnp.zeros(cubes.shape[:2], jnp.int32)
    rows = jnp.arange(seen.shape[0])[:, None]
    seen = seen.at[rows, visible].set(1)
    hidden = masking.kept_indices(seen, grid.tokens - visible.shape[1])
    prediction = model.apply(variables, batch["input"], visible, hidden).astype(jnp.float32)
    truth = take_tokens(cubes, hidden)
    if normalised:
        mean, scale = objective.cube_statistics(truth)
        pixels = prediction.reshape(*prediction.shape[:2], -1, 3)
        prediction = (pixels * scale + mean).reshape(prediction.shape)
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


def picture(outputs: Mapping[str, np.ndarray], clips: int) -> UInt8[np.ndarray, "height width 3"]:
    """The first clips' frames in rows: original, masked, reconstructed."""
    from jaxvision.viz.video import strip

    rows = []
    for clip in range(min(clips, len(outputs["original"]))):
        videos = {k: outputs[k][clip] for k in ("original", "masked", "reconstructed")}
        rows.append(strip(videos))
    return np.concatenate(rows, axis=0)
