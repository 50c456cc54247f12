"""PDPP on the tour: what to do between a start and a goal."""

import json
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from jaxvision.data.procedures import OBSERVATION_SECONDS
from jaxvision.methods.pdpp import inputs
from jaxvision.tasks.tour_stop import Shown, Stop
from jaxvision.viz.tour_page import Number, Picture

ASKED, DRAWN = 24, 4


def write(config: ConfigDict, folder: Path) -> dict[str, list[str]]:
    """Start and goal of windows that were never trained on; the right actions by file."""
    windows, labels = inputs.windows_of(config, "test")
    truth = {}
    for number, index in enumerate(np.linspace(0, len(windows) - 1, ASKED).astype(int)):
        window = windows[int(index)]
        rows = (OBSERVATION_SECONDS, config.data.channels)
        path = folder / f"plan_{number:02}.npz"
        start, goal = (window[key].astype(np.float32).reshape(rows) for key in ("start", "goal"))
        np.savez(path, start=start, goal=goal)
        truth[path.stem] = [labels.actions[int(action)] for action in window["plan"]]
    return truth


def show(answers: Path, truth: dict[str, list[str]]) -> Shown:
    plans = {
        name: json.loads((answers / f"{name}.json").read_text())["windows"][0] for name in truth
    }
    right = sum(plans[name]["plan"]["actions"] == actions for name, actions in truth.items())
    # The least certain are worth looking at.
    order = sorted(truth, key=lambda name: plans[name]["plan"]["probability"])
    chosen = [*order[: DRAWN // 2], *order[-(DRAWN - DRAWN // 2) :]]
    shown = [
        Picture(answers / f"{name}_0.png", f"What was done: {', '.join(truth[name])}")
        for name in chosen
    ]
    meaning = "whole plans, drawn most often of 100, that are what was done"
    return Shown(shown, [Number(f"{right} of {len(truth)}", meaning)])


STOPS = (
    Stop(
        name="pdpp",
        weights="pdpp/demo",
        title="A plan between start and goal",
        what="Actions are drawn by diffusion, all steps of a plan at once, given what is seen at "
        "the start and at the goal. Many plans are drawn: bars are how often an action was.",
        given="features of made-up procedures, never trained on (nothing real can be shipped).",
        write=write,
        show=show,
    ),
)
