"""CoMAE on the tour: what kind of room it is, told from colour and depth, and from colour alone."""

import json
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from jaxvision.methods.comae import inputs
from jaxvision.tasks.tour_stop import Shown, Stop
from jaxvision.viz.files import write_png
from jaxvision.viz.tour_page import Number, Picture

ROOMS, DRAWN = 24, 6
BOTH, COLOUR = "both", "colour"


def write(config: ConfigDict, folder: Path) -> dict[str, str]:
    """Rooms that were never trained on, as colour beside depth and as colour alone; the kind of
    each file's."""
    names, records = inputs.class_names(config), inputs.records_of(config, "validation")
    truth = {}
    for number in range(ROOMS):
        room = records[number]
        rgb, depth = np.asarray(room["rgb"]), np.asarray(room["depth"])
        for kind, picture in ((BOTH, np.concatenate([rgb, depth], axis=1)), (COLOUR, rgb)):
            path = folder / f"{kind}_{number:02}.png"
            write_png(path, np.ascontiguousarray(picture))
            truth[path.name] = names[room["label"]]
    return truth


def show(answers: Path, truth: dict[str, str]) -> Shown:
    table = json.loads((answers / "predictions.json").read_text())
    found = {Path(path).name: rows[0] for path, rows in table.items()}
    numbers = []
    for kind, words in ((BOTH, "colour and depth"), (COLOUR, "colour alone")):
        mine = [name for name in truth if name.startswith(kind)]
        right = sum(found[name]["class"] == truth[name] for name in mine)
        meaning = f"rooms told from {words}; one in six would be chance"
        numbers.append(Number(f"{right} of {len(mine)}", meaning))
    firsts: dict[str, str] = {}
    for name, kind in truth.items():
        if name.startswith(BOTH):
            firsts.setdefault(kind, name)
    shown = [
        Picture(
            answers / found[name]["picture"],
            f"A {kind}, taken for a {found[name]['class']} ({found[name]['probability']:.0%}): "
            "colour, and depth as the network sees it",
        )
        for kind, name in sorted(firsts.items())[:DRAWN]
    ]
    return Shown(shown, numbers)


STOPS = (
    Stop(
        name="comae",
        weights="comae/demo",
        title="A room in colour and depth",
        what="One encoder for both: it first learns which patch of colour belongs to which of "
        "depth, then fills in hidden ones, and last, with labels, what kind of room it is.",
        given="made-up rooms with real photographs on their walls, never trained on: pictures of "
        "depth cameras cannot be shipped.",
        write=write,
        show=show,
    ),
)
