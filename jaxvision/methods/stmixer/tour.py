"""STMixer on the tour: who is in a clip, where, and what they do."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from ml_collections import ConfigDict

from jaxvision.data.actions.pixel_boxes import shares
from jaxvision.methods.stmixer import inputs
from jaxvision.tasks.tour_stop import Shown, Stop
from jaxvision.viz.files import write_mp4
from jaxvision.viz.tour_page import Number, Picture

CLIPS, ENLARGED = 12, 5
FILM = "figures"
HALF = 0.5  # least overlap of a box with a figure, least probability of an action


class TrueFigures(NamedTuple):
    """Of one clip. boxes: as shares of the frame.  actions: 1 where one does one."""

    boxes: Float[np.ndarray, "n 4"]
    actions: UInt8[np.ndarray, "n actions"]


def write(config: ConfigDict, folder: Path) -> list[TrueFigures]:
    """Clips that were never trained on, one after the other in a film, each a second long."""
    records = inputs.records_of(config, "validation", ())
    clips = [records[number] for number in range(CLIPS)]
    frames = np.concatenate([clip.frames for clip in clips])
    enlarged = frames.repeat(ENLARGED, axis=1).repeat(ENLARGED, axis=2)
    write_mp4(folder / f"{FILM}.mp4", enlarged, config.model.frames)
    size = (config.data.width, config.data.height)
    return [TrueFigures(shares(clip.boxes, size), clip.actions) for clip in clips]


def overlap(a: Float[np.ndarray, "n 1 4"], b: Float[np.ndarray, "1 m 4"]) -> np.ndarray:
    """Intersection over union of every pair of boxes [n, m]."""
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    both = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = [np.prod(box[..., 2:] - box[..., :2], axis=-1) for box in (a, b)]
    return both / (areas[0] + areas[1] - both)


def show(answers: Path, truth: list[TrueFigures]) -> Shown:
    moments = json.loads((answers / f"{FILM}.json").read_text())
    everyone = right = 0
    done = []  # of each figure found: what it does
    for moment, true in zip(moments, truth, strict=True):
        everyone += len(true.boxes)
        boxes = np.array([person["box"] for person in moment["people"]]).reshape(-1, 4)
        for box, actions in zip(true.boxes, true.actions, strict=True):
            if not len(boxes):
                continue
            shared = overlap(np.asarray(box)[None, None], boxes[None])[0]
            if shared.max() < HALF:
                continue
            done.append(actions)
            scores = list(moment["people"][int(shared.argmax())]["actions"].values())
            right += int(np.sum((np.array(scores) >= HALF) == (actions > 0)))
    flags = max(np.size(done), 1)
    rates = np.mean(done, axis=0) if done else np.zeros(0)
    usual = np.sum(np.maximum(rates, 1 - rates)) * len(done)  # right by one answer for all figures
    numbers = [
        Number(f"{len(done)} of {everyone}", "figures have a box that overlaps them by half"),
        Number(
            f"{100 * right / flags:.0f} %",
            "of what those do and do not do is said right, where the commoner answer to each "
            f"action would have {100 * usual / flags:.0f} %",
        ),
    ]
    shown = [
        Picture(answers / f"{FILM}.mp4", "A clip a second: boxes, actions and their scores"),
        Picture(answers / f"{FILM}.png", "One moment"),
    ]
    return Shown(shown, numbers)


STOPS = (
    Stop(
        name="stmixer",
        weights="stmixer/demo",
        title="Who does what, without a detector before",
        what="A few queries sample points in space, time and scale, mix what they find, and answer "
        "with a box and its actions each, in one pass.",
        given="made-up clips of drawn figures, never trained on (no film can be shipped). Two "
        "actions differ by motion alone: arms held up, arms that wave.",
        write=write,
        show=show,
    ),
)
