"""SparseFormer on the tour: handwritten digits, and where its tokens look."""

import json
from pathlib import Path

from ml_collections import ConfigDict

from jaxvision.methods.sparseformer import inputs
from jaxvision.tasks.tour_stop import Shown, Stop
from jaxvision.viz.tour_page import Number, Picture

DIGITS, DRAWN = 40, 4


def write(config: ConfigDict, folder: Path) -> dict[str, str]:
    """Held-out digits, spread over the classes; the class of each file."""
    names = inputs.class_names(config)
    records = inputs.records_of(config, "validation", names)
    truth = {}
    for number in range(DIGITS):
        record = records[number]
        path = folder / f"digit_{number:02}.png"
        record["picture"].save(path)
        truth[path.name] = names[record["label"]]
    return truth


def show(answers: Path, truth: dict[str, str]) -> Shown:
    table = json.loads((answers / "predictions.json").read_text())
    found = {Path(path).name: rows[0] for path, rows in table.items()}
    right = sum(found[name]["class"] == label for name, label in truth.items())
    drawn = {label: name for name, label in reversed(truth.items())}  # the first of each class
    pictures = [
        Picture(
            answers / found[name]["picture"],
            f"A {label}, read as {found[name]['class']} "
            f"({found[name]['probability']:.0%}): the boxes and points that its tokens sampled, "
            "step by step",
        )
        for label, name in sorted(drawn.items())[:DRAWN]
    ]
    number = Number(f"{right} of {len(truth)}", "digits never trained on that were read right")
    return Shown(pictures, [number])


STOPS = (
    Stop(
        name="sparseformer",
        weights="sparseformer/demo",
        title="A few tokens look where it matters",
        what="An image classifier without a grid: nine tokens move their boxes over the picture "
        "and sample nine points in each, again and again.",
        given="8 x 8 pixels of real handwriting (scikit-learn's digits), never trained on.",
        write=write,
        show=show,
    ),
)
