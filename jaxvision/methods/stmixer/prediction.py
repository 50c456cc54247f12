"""People and their actions in films: MP4, a picture, and the detections as JSON and CSV."""

import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from jaxvision.data.actions import clip_frames
from jaxvision.data.actions.ava_files import KeyFrames, rows_of_people, write_detections
from jaxvision.data.actions.json_files import People as BoxesOfFrame
from jaxvision.data.actions.json_files import write_detected
from jaxvision.data.atomic_write import atomic_write
from jaxvision.data.video import Video
from jaxvision.errors import InputError
from jaxvision.methods.stmixer.detections import People
from jaxvision.tasks.each_input import each_input
from jaxvision.viz.files import write_mp4, write_png
from jaxvision.viz.people import SeenPerson, best_actions, draw_people

# People of the uint8 frames [t, h, w, 3] of one clip.
Detect = Callable[[UInt8[np.ndarray, "t h w 3"]], People]


class Moments(NamedTuple):
    """Which frames of a film are asked. frames, stride: of a clip.  every: seconds apart."""

    frames: int
    stride: int
    every: float


def seen_people(
    people: People, size: tuple[int, int], names: Sequence[str], shown: float
) -> list[SeenPerson]:
    """What is drawn of people on a frame of `size` (height, width)."""
    height, width = size
    scale = np.array([width, height, width, height])
    return [
        SeenPerson(box * scale, best_actions(action, names, shown))
        for box, action in zip(people.boxes, people.action, strict=True)
    ]


def predict_files(
    detect: Detect,
    moments: Moments,
    paths: Sequence[Path],
    outdir: Path,
    *,
    names: Sequence[str],
    shown: float,
) -> list[Path]:
    """Of every film: NAME.mp4 with the people of the nearest key frame, NAME.png of the one with
    most, NAME_people.json ([{image_id, bbox, score}], one image a key frame, as AVA's tools and
    CycleACR read it), NAME.json of everything, and NAME.csv in AVA's form."""

    def answer(path: Path, name: str) -> list[Path]:
        with Video(path) as film:
            found, centres, fps = _people_of(film, detect, moments)
            frames = film.frames(range(len(film)))
        size = frames.shape[1:3]
        nearest = np.abs(np.arange(len(frames))[:, None] - centres).argmin(axis=1)
        drawn = np.stack(
            [
                draw_people(frame, seen_people(found[key], size, names, shown))
                for frame, key in zip(frames, nearest, strict=True)
            ]
        )
        written = [outdir / f"{name}{end}" for end in (".mp4", ".png", ".json")]
        write_mp4(written[0], drawn, fps)
        fullest = int(np.argmax([len(people.boxes) for people in found]))
        write_png(written[1], drawn[centres[fullest]])
        _write_all(written[2], found, centres / fps, names)
        return written + _write_lists(outdir, name, found, centres / fps, size)

    return each_input(paths, outdir, answer)


def _people_of(
    film: Video, detect: Detect, moments: Moments
) -> tuple[list[People], np.ndarray, float]:
    """The people of each key frame, the key frames' numbers, and frames a second."""
    total = len(film)
    if total == 0:
        raise InputError("a film without frames")
    seconds = film.times[-1] - film.times[0]
    fps = float((total - 1) / seconds) if total > 1 and seconds > 0 else 25.0
    step = max(round(moments.every * fps), 1)
    centres = np.arange(min(step // 2, total - 1), total, step)
    found = [
        detect(film.frames(clip_frames.around(int(centre), moments.frames, moments.stride, total)))
        for centre in centres
    ]
    return found, centres, float(Fraction(fps).limit_denominator(1001))


def _write_all(
    path: Path, found: Sequence[People], times: np.ndarray, names: Sequence[str]
) -> None:
    moments = [
        {
            "time": round(float(time), 3),
            "people": [
                {
                    "box": [round(float(v), 5) for v in box],
                    "score": round(float(score), 5),
                    "actions": {n: round(float(v), 5) for n, v in zip(names, action, strict=True)},
                }
                for score, action, box in zip(*people, strict=True)
            ],
        }
        for time, people in zip(times, found, strict=True)
    ]
    with atomic_write(path) as temporary:
        Path(temporary).write_text(json.dumps(moments), encoding="utf-8")


def _write_lists(
    outdir: Path, name: str, found: Sequence[People], times: np.ndarray, size: tuple[int, int]
) -> list[Path]:
    height, width = size
    scale = np.array([width, height, width, height])
    boxes = {
        number: BoxesOfFrame(
            people.boxes * scale - np.array([0, 0, 1, 1]),
            np.zeros((len(people.boxes), 0), np.uint8),
            people.person,
        )
        for number, people in enumerate(found)
    }
    as_json, as_csv = outdir / f"{name}_people.json", outdir / f"{name}.csv"
    write_detected(as_json, boxes)
    key_frames, rows = KeyFrames(), []
    for time, people in zip(times, found, strict=True):
        number = key_frames.number(name, round(float(time), 3))
        rows.append(rows_of_people(people.boxes, people.action, number))
    joined = type(rows[0])(*(np.concatenate(columns) for columns in zip(*rows, strict=True)))
    write_detections(as_csv, list(key_frames.numbers), joined)
    return [as_json, as_csv]
