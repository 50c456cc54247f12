"""EMA-VFI on the tour: the frame between two, of a known and of a real motion, and slow motion."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from ml_collections import ConfigDict
from PIL import Image

from jaxvision.data import pictures
from jaxvision.data.camera import CameraPath
from jaxvision.data.picture_files import read_picture
from jaxvision.metrics.image_quality import psnr
from jaxvision.tasks.tour_stop import Shown, Stop
from jaxvision.viz.files import write_mp4, write_png
from jaxvision.viz.tour_page import Number, Picture

VIEW = (144, 192)
COFFEE, FLOWER = "coffee.png", "flower.jpg"
MULTIPLE = 4


def held_out(name: str) -> pictures.Pyramid:
    """A built-in photograph that is never trained on."""
    found = pictures.built_in("held_out")
    (index,) = (n for n, path in enumerate(found.paths) if path.name == name)
    return found[index]


def path_over(picture: pictures.Pyramid, pan: tuple[float, float], zoom: float) -> CameraPath:
    """A camera in the middle of a picture. pan: frame pixels from the first frame to the last."""
    width, height = picture[0].size
    scale = 0.8 * min(height / VIEW[0], width / VIEW[1])
    centre = (width / 2, height / 2)
    step = (pan[0] * scale, pan[1] * scale)
    return CameraPath(VIEW, centre, scale, angle=0.05, pan=step, zoom=zoom)


def write_pair(config: ConfigDict, folder: Path) -> UInt8[np.ndarray, "3 h w 3"]:
    """The first and the last of three frames, which are returned."""
    picture = held_out(COFFEE)
    frames = path_over(picture, (6.0, 3.0), 0.04).clip(picture, [0.0, 0.5, 1.0])
    write_png(folder / "first.png", frames[0])
    write_png(folder / "last.png", frames[2])
    return frames


def show_pair(answers: Path, frames: UInt8[np.ndarray, "3 h w 3"]) -> Shown:
    (row,) = json.loads((answers / "first_last.json").read_text())["answers"]
    unit = frames.astype(np.float64) / 255
    answer = np.asarray(read_picture(answers / row["frame"])) / 255
    found = {
        "the network's frame": psnr(answer, unit[1]),
        "a blend of both frames": psnr((unit[0] + unit[2]) / 2, unit[1]),
        "the first frame again": psnr(unit[0], unit[1]),
    }
    numbers = [
        Number(f"{value:.1f} dB", f"{name}, beside the true one (PSNR: more is closer)")
        for name, value in found.items()
    ]
    shown = [
        Picture(answers / "first_last_strip.png", "First frame, answer, last frame", wide=True),
        Picture(answers / row["flow_to_first"], "Motion to the first frame (colour: direction)"),
        Picture(answers / row["mask"], "What comes from the first frame (white), from the last"),
    ]
    return Shown(shown, numbers)


def write_stereo(config: ConfigDict, folder: Path) -> None:
    """Both eyes' views of the motorcycle, reduced until it moves a few pixels between them."""
    where = pictures.package_folder("skimage") / "data"
    for side in ("left", "right"):
        picture = read_picture(where / f"motorcycle_{side}.png")
        small = picture.resize((STEREO[1], STEREO[0]), Image.Resampling.LANCZOS)
        write_png(folder / f"{side}.png", np.asarray(small))


STEREO = (112, 160)


def show_stereo(answers: Path, truth: None) -> Shown:
    (row,) = json.loads((answers / "left_right.json").read_text())["answers"]
    length = row["mean_flow_pixels"][0]
    shown = [
        Picture(answers / "left_right_strip.png", "Left eye, between them, right eye", wide=True),
        Picture(answers / row["flow_to_first"], "Motion to the left eye's view"),
    ]
    meaning = "mean motion from the middle to the left eye's view: near things move further"
    return Shown(shown, [Number(f"{length:.1f} px", meaning)])


class Film(NamedTuple):
    """file: the slow original.  frames: of it."""

    file: Path
    frames: int


def write_film(config: ConfigDict, folder: Path) -> Film:
    """A few frames under a camera that pans and comes closer."""
    picture = held_out(FLOWER)
    count = 9
    path = path_over(picture, (5.0 * (count - 1), 1.0 * (count - 1)), 0.1)
    frames = path.clip(picture, list(np.linspace(0, 1, count)))
    write_mp4(folder / "flower.mp4", frames, 4)
    return Film(folder / "flower.mp4", count)


def show_film(answers: Path, film: Film) -> Shown:
    retimed = answers / "flower_retimed.mp4"
    shown = [
        Picture(film.file, f"{film.frames} frames as given, four a second"),
        Picture(retimed, f"The same with {MULTIPLE} times as many frames"),
    ]
    meaning = "as many frames as given: the ones between are the network's"
    return Shown(shown, [Number(f"{MULTIPLE} times", meaning)])


WHAT = (
    "Says what lies between two frames: attention across both finds how things look and how they "
    "move at once, both are warped to the time asked for, and a small network mends the seams."
)
STOPS = (
    Stop(
        name="emavfi_pair",
        weights="emavfi/demo",
        title="The frame between two frames",
        what=WHAT,
        given="a real photograph (scikit-image's coffee, never trained on) under a made camera "
        "motion, so that the frame between is known.",
        write=write_pair,
        show=show_pair,
    ),
    Stop(
        name="emavfi_stereo",
        weights="emavfi/demo",
        title="An eye between two eyes",
        what="The same, of two views at once: what lies between them moves by its distance.",
        given="a real stereo pair (Middlebury's motorcycle, in scikit-image), reduced to "
        f"{STEREO[1]} x {STEREO[0]} pixels. The left view was a still in training.",
        write=write_stereo,
        show=show_stereo,
    ),
    Stop(
        name="emavfi_film",
        weights="emavfi/demo",
        title="Slow motion",
        what="Any time between two frames can be asked for, so a film can be slowed down.",
        given="a film made of a real photograph (scikit-learn's flower, never trained on) under a "
        "made camera motion.",
        write=write_film,
        show=show_film,
        settings=lambda folder: [f"task.predict.multiple={MULTIPLE}"],
    ),
)
