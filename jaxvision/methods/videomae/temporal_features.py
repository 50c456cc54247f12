"""Features of long videos for temporal action detection (extract_tad_feature.py).

Every window of consecutive frames becomes one vector: the classifier's pooled and normed tokens.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Array, Float, Num

from jaxvision.data.atomic_write import atomic_write
from jaxvision.data.resize import resize
from jaxvision.data.video import Video
from jaxvision.data.video_clips import window_starts
from jaxvision.errors import InputError, check_choice
from jaxvision.nn.video_transformer import CubeGrid, VideoClassifier
from jaxvision.tasks.each_input import each_input
from jaxvision.training.task import Variables

# Frames between the starts of neighbouring windows, by the benchmark they were published for.
DATASETS = {"thumos14": 4, "fineaction": 16}
BATCH = 4  # windows a call

Features = Callable[[Float[np.ndarray, "b t h w 3"]], Float[Array, "b d"]]


def window_clip(
    frames: Num[np.ndarray, "t h w 3"], size: tuple[int, int]
) -> Float[np.ndarray, "t h2 w2 3"]:
    """A window of consecutive frames as the published features saw it: in [0, 1], stretched to
    `size` whatever its aspect, and without the ImageNet normalisation."""
    return resize(frames, size) / np.float32(255)


def predict_files(
    dataset: str,
    model: VideoClassifier,
    variables: Variables,
    paths: Sequence[Path],
    outdir: Path,
) -> list[Path]:
    """<name>.npy of each video: one feature per window, [windows, width]."""
    features = partial(jax.jit(partial(model.apply, features=True)), variables)

    def answer(path: Path, name: str) -> list[Path]:
        rows, file = video_features(features, model.grid, path, dataset), outdir / f"{name}.npy"
        with atomic_write(file) as temporary, open(temporary, "wb") as stream:
            np.save(stream, rows)
        return [file]

    return each_input(paths, outdir, answer)


def video_features(
    features: Features, grid: CubeGrid, path: str | Path, dataset: str = "thumos14"
) -> Float[np.ndarray, "windows d"]:
    """One feature per window of a video file, float32.

    features(clips): jitted; BATCH windows of the network's `grid` a call. InputError for a video
    that cannot be read, or shorter than one window.
    """
    check_choice("features for", dataset, DATASETS)
    frames, rows = grid.frames, []
    with Video(path) as video:
        starts = window_starts(len(video), frames, DATASETS[dataset])
        if len(starts) == 0:
            raise InputError(f"{path}: {len(video)} frames, fewer than a window of {frames}")
        for first in range(0, len(starts), BATCH):
            chosen = starts[first : first + BATCH]
            # Neighbouring windows share frames: each is decoded and resized once.
            span = video.frames(np.arange(chosen[0], chosen[-1] + frames))
            small = window_clip(span, grid.image_size)
            clips = [small[start - chosen[0] :][:frames] for start in chosen]
            clips += [clips[-1]] * (BATCH - len(clips))  # one shape for every call
            rows.append(np.asarray(features(np.stack(clips)))[: len(chosen)])
    return np.concatenate(rows).astype(np.float32)
