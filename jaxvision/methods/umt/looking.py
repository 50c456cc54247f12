"""What the teacher looks at, and what of a clip the student gets to see: pictures of both."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from jaxvision.data.camera_clips import clip_of_file
from jaxvision.nn.video_transformer import CubeGrid
from jaxvision.training.run_record import write_json
from jaxvision.viz.files import output_names, write_mp4, write_png
from jaxvision.viz.video import strip

GREY = 128
DARKEST = 0.15  # brightness of a place that gets no attention
FRAMES_PER_SECOND = 8
ROWS = ("original", "attention", "visible")


def views(
    video: UInt8[Array, "b t h w 3"],
    attention: Float[Array, "bt n"],
    visible: Int[Array, "b m"],
    window: tuple[int, int, int],
) -> dict[str, UInt8[Array, "b t h w 3"]]:
    """`original`; `attention`: frames as bright as the teacher's class token looks at them, each
    frame's most attended place as it is; `visible`: frames whose masked places are grey."""
    clips, size = len(video), video.shape[1:4]
    by_place = attention.reshape(clips, *window)
    peak = jnp.max(by_place, axis=(2, 3), keepdims=True)
    brightness = DARKEST + (1 - DARKEST) * by_place / peak
    seen = jnp.zeros((clips, int(np.prod(window))), bool)
    seen = seen.at[jnp.arange(clips)[:, None], visible].set(True)
    lit = video * _enlarged(brightness, size)[..., None]
    shown = jnp.where(_enlarged(seen.reshape(clips, *window), size)[..., None], video, GREY)
    return {
        "original": video,
        "attention": jnp.round(lit).astype(jnp.uint8),
        "visible": shown.astype(jnp.uint8),
    }


def _enlarged(places: Array, size: tuple[int, ...]) -> Array:
    """[b, t, h, w] of tokens -> of pixels."""
    for axis, length in enumerate(size, 1):
        places = jnp.repeat(places, length // places.shape[axis], axis=axis)
    return places


def picture(outputs: Mapping[str, np.ndarray], clips: int) -> UInt8[np.ndarray, "height width 3"]:
    """The first clips' frames in rows: original, attention, visible."""
    shown = range(min(clips, len(outputs["original"])))
    return np.concatenate([strip({row: outputs[row][clip] for row in ROWS}) for clip in shown])


def predict_files(
    answer: Callable[[Mapping], Mapping[str, Array]],
    grid: CubeGrid,
    paths: Sequence[Path],
    outdir: Path,
    seed: int = 0,
) -> list[Path]:
    """For each picture or video: <name>.png (frames in rows: original, attention, visible),
    <name>.mp4 (the three side by side), and a line in predictions.json with the `loss`.

    answer(batch): `views` and `loss` of one clip, given `video` and `index`. A picture becomes a
    clip under a moving camera. InputError for a file that cannot be read.
    """
    written: list[Path] = []
    results = {}
    for number, (path, name) in enumerate(zip(paths, output_names(paths), strict=True)):
        clip = clip_of_file(path, grid.frames, grid.image_size, seed)
        batch = {"video": clip[None], "index": np.array([number], np.int32)}
        outputs = jax.device_get(answer(batch))
        write_png(outdir / f"{name}.png", picture(outputs, 1))
        beside = np.concatenate([outputs[row][0] for row in ROWS], axis=2)
        write_mp4(outdir / f"{name}.mp4", beside, FRAMES_PER_SECOND)
        written += [outdir / f"{name}.png", outdir / f"{name}.mp4"]
        results[str(path)] = {"loss": float(outputs["loss"][0]), "picture": f"{name}.png"}
    write_json(outdir / "predictions.json", results)
    return [*written, outdir / "predictions.json"]
