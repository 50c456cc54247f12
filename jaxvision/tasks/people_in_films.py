"""People and their actions in films: MP4, a picture, and the detections as JSON and CSV."""

import json
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from jaxvision.data.actions import clip_frames
from jaxvision.data.actions.ava_files import KeyFrames, rows_of_people, write_detections
from jaxvision.data.actions.json_files import People as BoxesOfFrame
from jaxvision.data.actions.json_files import write_detected
from jaxvision.data.atomic_write import atomic_write
from jaxvision.data.conversions import note
from jaxvision.data.pixel_format import PixelFormat
from jaxvision.data.video import Video
from jaxvision.errors import InputError
from jaxvision.tasks.each_input import each_input
from jaxvision.viz.files import write_png
from jaxvision.viz.people import SeenPerson, best_actions, draw_people
from jaxvision.viz.video_stream import write_segment


class People(NamedTuple):
    """The people of one clip. person, action: probabilities.  boxes: x1, y1, x2, y2 as shares of
    the frame, 0 to 1."""

    person: Float[np.ndarray, " n"]
    action: Float[np.ndarray, "n actions"]
    boxes: Float[np.ndarray, "n 4"]


# People of the uint8 frames [t, h, w, 3] of one clip, and the number of its key frame.
Detect = Callable[[UInt8[np.ndarray, "t h w 3"], int], People]
# What finds the people of a film: path, (height, width), and how many key frames are asked.
Detector = Callable[[Path, tuple[int, int], int], Detect]


# From the people of all key frames, whose actions may be open, the times of these and where answers
# go (a path without ending) to the people that are answered, and files written besides.
Finish = Callable[
    [Sequence[People], Float[np.ndarray, " k"], Path], tuple[Sequence[People], list[Path]]
]


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
    detector: Detector,
    moments: Moments,
    paths: Sequence[Path],
    outdir: Path,
    *,
    names: Sequence[str],
    shown: float,
    finish: Finish | None = None,
) -> list[Path]:
    """Of every film: NAME.mp4 with the people of the nearest key frame, NAME.png of the one with
    most, NAME_people.json ([{image_id, bbox, score}], one image a key frame, as AVA's tools and
    CycleACR read it), NAME.json of everything, and NAME.csv in AVA's form.

    finish: asked once a film's key frames have been read.
    """

    def answer(path: Path, name: str) -> list[Path]:
        with Video(path) as film:
            centres = _key_frames(film, moments)
            detect = detector(path, film.size, len(centres))
            found: Sequence[People] = _people_of(film, detect, centres, moments)
            times, size = film.times, film.size
            besides: list[Path] = []
            if finish is not None:
                found, besides = finish(found, times[centres], outdir / name)
            drawn = _Drawn(film, found, centres, names, shown)
            written = [outdir / f"{name}{end}" for end in (".mp4", ".png", ".json")]
            write_segment(written[0], drawn, film.rate, presentation=film.presentation)
            if film.sound_tracks:
                note(path, "sound dropped")
        write_png(written[1], drawn.fullest)
        _write_all(written[2], found, times[centres], names)
        return written + besides + _write_lists(outdir, name, found, times[centres], size)

    return each_input(paths, outdir, answer)


def _key_frames(film: Video, moments: Moments) -> Int[np.ndarray, " k"]:
    """Numbers of the frames that are asked."""
    total = len(film)
    if total == 0:
        raise InputError("a film without frames")
    seconds = film.times[-1] - film.times[0]
    fps = (total - 1) / seconds if total > 1 and seconds > 0 else float(film.rate)
    step = max(round(moments.every * fps), 1)
    return np.arange(min(step // 2, total - 1), total, step)


def _people_of(film: Video, detect: Detect, centres: np.ndarray, moments: Moments) -> list[People]:
    """The people of each key frame."""
    frames, stride, total = moments.frames, moments.stride, len(film)
    return [
        detect(film.frames(clip_frames.around(int(centre), frames, stride, total)), number)
        for number, centre in enumerate(centres)
    ]


class _Drawn:
    """A film's frames with their times, one after the other, each with the people of the key frame
    nearest to it. fullest: the key frame with most people, once it has come."""

    def __init__(
        self,
        film: Video,
        found: Sequence[People],
        centres: np.ndarray,
        names: Sequence[str],
        shown: float,
    ):
        self._film, self._centres = film, centres
        height, width = film.size
        self._seen = [seen_people(people, (height, width), names, shown) for people in found]
        self.fullest = np.zeros((height, width, 3), np.uint8)

    def __iter__(self) -> Iterator[tuple[Fraction, UInt8[np.ndarray, "h w 3"]]]:
        rgb, times = PixelFormat("rgb24"), self._film.times
        fullest = self._centres[int(np.argmax([len(people) for people in self._seen]))]
        for number, frame in enumerate(self._film.stream()):
            nearest = int(np.argmin(np.abs(self._centres - number)))
            image = draw_people(rgb.array(frame), self._seen[nearest])
            if number == fullest:
                self.fullest = image
            yield Fraction(float(times[number])).limit_denominator(90_000), image


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
