"""`predict` for a classifier: the likeliest classes of one's own videos."""

import csv
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import UInt8

from jaxvision.data import crops
from jaxvision.data.resize import resize_short_side
from jaxvision.data.video import Video
from jaxvision.methods.videomae import temporal_features
from jaxvision.training.run_record import write_json
from jaxvision.viz.files import output_names, write_png
from jaxvision.viz.video import strip

if TYPE_CHECKING:  # the task calls this module
    from jaxvision.methods.videomae.classification_task import ClassificationTask

SHOWN = 5


def predict_files(
    task: "ClassificationTask", variables: Mapping, paths: list[Path], outdir: Path
) -> list[Path]:
    """predictions.json and predictions.csv (the five likeliest classes of each video, averaged over
    the test's segments x crops) and <name>.png, frames of the video under its answer."""

    @jax.jit
    def answer(variables: Mapping, batch: Mapping) -> Any:
        rng = jax.random.key(task.config.seed)
        return task.predict(variables, task.prepare(batch, rng, False), rng)["probabilities"]

    written: list[Path] = []
    results: dict[str, list] = {}
    for path, name in zip(paths, output_names(paths), strict=True):
        views = views_of(task, path)
        index = np.arange(len(views), dtype=np.int32)
        scores = np.mean(
            jax.device_get(answer(variables, {"video": views, "index": index})), axis=0
        )
        results[str(path)] = likeliest(scores, task.class_names)
        written.append(outdir / f"{name}.png")
        write_png(written[-1], strip({results[str(path)][0]["class"]: views[0]}))
    write_json(outdir / "predictions.json", results)
    with (outdir / "predictions.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["file", "rank", "class", "probability"])
        for file, answers in results.items():
            for rank, found in enumerate(answers, 1):
                table.writerow([file, rank, found["class"], f"{found['probability']:.6f}"])
    return [*written, outdir / "predictions.json", outdir / "predictions.csv"]


def write_features(
    task: "ClassificationTask", variables: Mapping, paths: list[Path], outdir: Path
) -> list[Path]:
    """<name>.npy of each video: one feature per window, [windows, width]."""
    grid = task.model.grid
    features = jax.jit(functools.partial(task.model.apply, features=True))
    written: list[Path] = []
    for path, name in zip(paths, output_names(paths), strict=True):
        rows = temporal_features.video_features(
            features,
            variables,
            path,
            frames=grid.frames,
            size=grid.image_size,
            dataset=task.config.task.features,
        )
        written.append(outdir / f"{name}.npy")
        np.save(written[-1], rows)
    return written


def views_of(task: "ClassificationTask", path: Path) -> UInt8[np.ndarray, "views t h w 3"]:
    """Every view of a file by the recipe's protocol. InputError for one that cannot be read."""
    settings, side = task.config.task, task.model.grid.image_size[0]
    with Video(path) as video:
        clips = [video.frames(n) for n in task.sampling.test(len(video), settings.segments)]
    views = []
    for clip in clips:
        frames = resize_short_side(clip, side)
        height, width = frames.shape[1:3]
        views += [box.cut(frames) for box in crops.long_side_boxes(height, width, settings.crops)]
    return np.stack(views)


def likeliest(scores: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """The classes of the largest probabilities, largest first."""
    best = np.argsort(-scores, kind="stable")[:SHOWN]
    return [{"class": names[k], "probability": float(scores[k])} for k in best]


def picture(
    batch: Mapping, outputs: Mapping, names: Sequence[str], clips: int = 4
) -> UInt8[np.ndarray, "height width 3"]:
    """The first clips of a batch, each row named by its label and the likeliest class."""
    rows = []
    for clip in range(min(clips, len(batch["label"]))):
        label = names[int(batch["label"][clip])]
        guess = names[int(np.argmax(outputs["probabilities"][clip]))]
        rows.append(strip({f"{label}: {guess}": np.asarray(batch["video"][clip])}))
    return np.concatenate(rows, axis=0)
