"""VideoMAE on the tour: most of a clip hidden, and filled in again."""

import json
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from jaxvision.data import pictures
from jaxvision.tasks.tour_stop import Shown, Stop
from jaxvision.viz.files import write_png
from jaxvision.viz.tour_page import Number, Picture

ENLARGED = 4  # films of so few pixels


def write(config: ConfigDict, folder: Path) -> list[str]:
    """The built-in photographs that are never trained on; their names."""
    found = pictures.built_in("held_out")
    names = []
    for number, path in enumerate(found.paths):
        write_png(folder / f"{path.stem}.png", np.asarray(found[number][0]))
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
        Number(f"{-10 * np.log10(errors[name]):.1f} dB", f"{name}: hidden cubes, beside the truth")
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
        "a made camera motion.",
        write=write,
        show=show,
    ),
)
