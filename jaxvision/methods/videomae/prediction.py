"""`predict` for a pretrained model: what it makes of the hidden parts of one's own files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from jaxvision.data import pictures
from jaxvision.data.video import Video
from jaxvision.methods.videomae import inputs, reconstruction
from jaxvision.training.run_record import write_json
from jaxvision.training.task import Task
from jaxvision.viz.files import output_names, write_mp4, write_png

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
    for number, (path, name) in enumerate(zip(paths, output_names(paths), strict=True)):
        video = clip_of(path, task)
        batch = {"video": video[None], "index": np.array([number], np.int32)}
        outputs = jax.device_get(answer(variables, batch))
        write_png(outdir / f"{name}.png", reconstruction.picture(outputs, 1))
        shown = [outputs[key][0] for key in ("original", "masked", "reconstructed")]
        write_mp4(outdir / f"{name}.mp4", np.concatenate(shown, axis=2), FRAMES_PER_SECOND)
        written += [outdir / f"{name}.png", outdir / f"{name}.mp4"]
        results[str(path)] = {"error": float(outputs["error"][0]), "picture": f"{name}.png"}
    write_json(outdir / "predictions.json", results)
    return [*written, outdir / "predictions.json"]


def clip_of(path: Path, task: Task) -> UInt8[np.ndarray, "t h w 3"]:
    """The file as a clip of the model's size. InputError for one that cannot be read."""
    model = task.config.model
    if path.suffix.lower() in pictures.SUFFIXES:
        camera = inputs.CameraClip(model.frames, tuple(model.image_size), 0.5, (0.5, 1.0))
        rng = np.random.default_rng(task.config.seed)
        return camera(pictures.read_pyramid(path), rng, "")["video"]
    with Video(path) as file:
        frames = file.frames(np.linspace(0, len(file) - 1, model.frames).round().astype(int))
    height, width = model.image_size
    fitted = (
        ImageOps.fit(Image.fromarray(frame), (width, height), Image.Resampling.BICUBIC)
        for frame in frames
    )
    return np.stack([np.asarray(picture) for picture in fitted])
