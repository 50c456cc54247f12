"""`predict` for a pretrained model: what it makes of the hidden parts of one's own files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8

from jaxvision.data import pictures
from jaxvision.data.clip_file import read_clip
from jaxvision.methods.videomae import inputs, reconstruction
from jaxvision.training.run_record import write_json
from jaxvision.training.task import Task
from jaxvision.viz.files import write_mp4, write_png

FRAMES_PER_SECOND = 8


def predict_files(task: Task, variables: Mapping, paths: list[Path], outdir: Path) -> list[Path]:
    """For each picture or video: <name>.png (frames in rows: original, masked, reconstructed),
    <name>.mp4 (the three side by side), and a line in predictions.json.

    A picture becomes a clip under a moving camera. `error` is the mean squared error over the
    hidden cubes, in units of the training target.
    """

    @jax.jit
    def answer(variables: Mapping, batch: Mapping) -> Any:
        prepare_rng, rng = jax.random.split(jax.random.key(task.config.seed))
        return task.predict(variables, task.prepare(batch, prepare_rng, False), rng)

    written: list[Path] = []
    results = {}
    for number, path in enumerate(paths):
        video = clip_of(path, task)
        batch = {"video": video[None], "index": np.array([number], np.int32)}
        outputs = jax.device_get(answer(variables, batch))
        name = unused_name(path, written, outdir)
        write_png(outdir / f"{name}.png", reconstruction.picture(outputs, 1))
        shown = [outputs[key][0] for key in ("original", "masked", "reconstructed")]
        write_mp4(outdir / f"{name}.mp4", np.concatenate(shown, axis=2), FRAMES_PER_SECOND)
        written += [outdir / f"{name}.png", outdir / f"{name}.mp4"]
        results[str(path)] = {"error": float(outputs["error"][0]), "picture": f"{name}.png"}
    write_json(outdir / "predictions.json", results)
    return [*written, outdir / "predictions.json"]


def unused_name(path: Path, written: list[Path], outdir: Path) -> str:
    """The file's stem, or with its number where two inputs share one."""
    taken = {file.stem for file in written if file.parent == outdir}
    return path.stem if path.stem not in taken else f"{path.stem}_{len(written) // 2}"


def clip_of(path: Path, task: Task) -> UInt8[np.ndarray, "t h w 3"]:
    """The file as a clip of the model's size. InputError for one that cannot be read."""
    model = task.config.model
    if path.suffix.lower() in pictures.SUFFIXES:
        camera = inputs.CameraClip(model.frames, tuple(model.image_size), 0.5, (0.5, 1.0))
        rng = np.random.default_rng(task.config.seed)
        return camera(pictures.read_pyramid(path), rng, "")["video"]
    return read_clip(path, model.frames, tuple(model.image_size))
