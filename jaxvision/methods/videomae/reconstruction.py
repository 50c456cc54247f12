"""Looking at what a masked autoencoder reconstructs, in a batch and of one's own files."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt8

from jaxvision.data.camera_clips import clip_of_file
from jaxvision.data.normalisation import to_unit
from jaxvision.methods.videomae import objective
from jaxvision.methods.videomae.model import MaskedAutoencoder
from jaxvision.nn.patches import patchify, unpatchify
from jaxvision.nn.video_transformer import CubeGrid, take_tokens
from jaxvision.ops.token_masks import kept_indices
from jaxvision.tasks.each_input import each_input, earlier_table
from jaxvision.training.run_record import write_json
from jaxvision.viz.files import write_mp4, write_png
from jaxvision.viz.video import strip

GREY = 0.5
FRAMES_PER_SECOND = 8


def reconstruct(
    model: MaskedAutoencoder, variables: Mapping, batch: Mapping, normalised: bool
) -> dict[str, UInt8[Array, "b t h w 3"]]:
    """`original`, `masked` (hidden cubes grey) and `reconstructed` videos, and each clip's `error`.

    All hidden tokens are decoded. Predictions of normalised pixels are turned back with each cube's
    own mean and deviation, as the paper's pictures do.
    """
    grid = model.grid
    video = to_unit(batch["video"])
    cubes = patchify(video, grid.tubelet, grid.patch)
    visible = batch["visible"]
    seen = jnp.zeros(cubes.shape[:2], jnp.int32)
    rows = jnp.arange(seen.shape[0])[:, None]
    seen = seen.at[rows, visible].set(1)
    hidden = kept_indices(seen, grid.tokens - visible.shape[1])
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
    rows = []
    for clip in range(min(clips, len(outputs["original"]))):
        videos = {k: outputs[k][clip] for k in ("original", "masked", "reconstructed")}
        rows.append(strip(videos))
    return np.concatenate(rows, axis=0)


def predict_files(
    answer: Callable[[Mapping], Mapping[str, Array]],
    grid: CubeGrid,
    paths: Sequence[Path],
    outdir: Path,
    seed: int = 0,
) -> list[Path]:
    """For each picture or video: <name>.png (frames in rows: original, masked, reconstructed),
    <name>.mp4 (the three side by side), and a line in predictions.json.

    answer(batch): `reconstruct` of one clip, `video` and `index`. A picture becomes a clip under a
    moving camera. `error` is the mean squared error over the hidden cubes, in units of the training
    target. InputError for a file that cannot be read; the others are answered (`each_input`).
    """
    table = outdir / "predictions.json"
    results = earlier_table(table)
    numbers = {path: number for number, path in enumerate(paths)}

    def answer_one(path: Path, name: str) -> list[Path]:
        index = np.array([numbers[path]], np.int32)
        clip = clip_of_file(path, grid.frames, grid.image_size, seed)
        batch = {"video": clip[None], "index": index}
        outputs = jax.device_get(answer(batch))
        write_png(outdir / f"{name}.png", picture(outputs, 1))
        shown = [outputs[key][0] for key in ("original", "masked", "reconstructed")]
        write_mp4(outdir / f"{name}.mp4", np.concatenate(shown, axis=2), FRAMES_PER_SECOND)
        results[str(path)] = {"error": float(outputs["error"][0]), "picture": f"{name}.png"}
        return [outdir / f"{name}.png", outdir / f"{name}.mp4"]

    def save() -> list[Path]:
        write_json(table, results)
        return [table]

    return each_input(paths, outdir, answer_one, save)
