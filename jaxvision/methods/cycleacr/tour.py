"""CycleACR on the tour: films in which what is asked of a second shows in another one."""

import json
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from ml_collections import ConfigDict

from jaxvision.data.actions.film_figures import ACTIONS, ASKED, FilmFigures
from jaxvision.data.actions.json_files import People, write_detected
from jaxvision.methods.cycleacr import films
from jaxvision.tasks.tour_stop import Shown, Stop
from jaxvision.viz.files import write_mp4
from jaxvision.viz.tour_page import Number, Picture

FILMS, ENLARGED = 3, 10
COLUMNS = [ACTIONS.index(name) for name in ASKED]


def write(config: ConfigDict, folder: Path) -> dict[str, UInt8[np.ndarray, "seconds actions"]]:
    """Films with the place of their figure in each second; by film, what it does."""
    records, seconds = films.records_of(config, "validation", ()), config.data.seconds
    assert isinstance(records, FilmFigures)
    truth = {}
    for number in range(FILMS):
        moments = [records[number * seconds + second] for second in range(seconds)]
        frames = np.concatenate([moment.clip for moment in moments])
        frames = frames.repeat(ENLARGED, axis=1).repeat(ENLARGED, axis=2)
        name = f"film_{number}"
        write_mp4(folder / f"{name}.mp4", frames, films.span_of(config))
        people = {}
        for second, moment in enumerate(moments):
            corners = moment.boxes * ENLARGED
            corners[:, 2:] += ENLARGED - 1
            people[second] = People(corners, moment.actions, np.ones(1, np.float32))
        write_detected(folder / f"{name}_people.json", people)
        truth[name] = np.concatenate([moment.actions for moment in moments])
    return truth


def show(answers: Path, truth: dict[str, UInt8[np.ndarray, "seconds actions"]]) -> Shown:
    right = asked = 0
    for name, actions in truth.items():
        moments = json.loads((answers / f"{name}.json").read_text())
        for second in range(1, len(actions)):
            scores = [moments[second]["people"][0]["actions"][word] for word in ASKED]
            right += int(np.argmax(scores) == np.argmax(actions[second, COLUMNS]))
            asked += 1
    (first, *_) = truth
    shown = [
        Picture(answers / f"{first}.mp4", "A figure a second; what it is, and what it is after"),
        Picture(
            answers / f"{first}_memory.png",
            "Which other seconds (columns) each second (row) was told by",
        ),
    ]
    meaning = "seconds of which the colour before was named right; half would be chance"
    return Shown(shown, [Number(f"{right} of {asked}", meaning)])


STOPS = (
    Stop(
        name="cycleacr",
        weights="cycleacr/demo",
        title="What other seconds tell",
        what="Says what people in a film do from what is around them, and from a memory of the "
        "seconds before and after: actor and context ask each other in a cycle.",
        given="made-up films of drawn figures, never trained on (no film can be shipped), and "
        "where the figure is in each second.",
        write=write,
        show=show,
    ),
)
