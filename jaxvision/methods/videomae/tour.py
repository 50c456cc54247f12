"""VideoMAE on the tour: most of a clip hidden, and filled in again."""

import json
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from jaxvision.data import pictures
from jaxvision.data.camera_clips import CameraClip
from jaxvision.tasks.tour_stop import Shown, Stop
from jaxvision.viz.files import write_mp4
from jaxvision.viz.tour_page import Number, Picture

FILMED = 8  # times as large as the network sees them
ENLARGED = 4
MOTIONS = ("pan right", "zoom in", "tilt up", "roll left")


def write(config: ConfigDict, folder: Path) -> list[str]:
    """A clip of each built-in photograph that is never trained on, each moved another way; their
    names."""
    found, camera = pictures.built_in("held_out"), CameraClip.of(config)
    names = []
    for number, (path, motion) in enumerate(zip(found.paths, MOTIONS, strict=True)):
        frames = camera.draw(found[number], np.random.default_rng(number), motion)
        enlarged = frames.repeat(FILMED, axis=1).repeat(FILMED, axis=2)
        write_mp4(folder / f"{path.stem}.mp4", enlarged, 8)
        names.append(path.stem)
    return names


def show(answers: Path, names: list[str]) -> Shown:
    table = json.loads((answers / "predictions.json").read_text())
    errors = {Path(path).stem: row["error"] for path, row in table.items()}
    shown = [
        Picture(answers / f"{name}.mp4", f"{name}: original, masked, filled in", factor=ENLARGED)
        for name in names
    ]
    shown.append(Picture(answers / f"{names[1]}.png", f"{names[1]}, frame by frame", wide=True))
    numbers = [
        Number(
            f"{-10 * np.log10(errors[name]):.1f} dB",
            f"{name}: its hidden cubes, beside the true ones (PSNR: more is closer)",
        )
        for name in names
    ]
    return Shown(shown, numbers)


STOPS = (
    Stop(
        name="videomae",
        weights="videomae/demo",
        title="Pretraining on hidden cubes",
        what="A video transformer sees a part of a clip's cubes and fills in the others: so it "
        "learns what videos look like, and how they move, without a label.",
        given="real photographs (scikit-image and scikit-learn) that were never trained on, under "
        "a made camera motion, seen as closely as in training.",
        write=write,
        show=show,
    ),
)
