"""Key frames as records: a film, the number of a frame in it, and the people on that frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from jaxvision.data.actions import clip_frames
from jaxvision.data.actions.act_files import ActionTubes
from jaxvision.data.actions.ava_people import KeyFramePeople, centre_frame
from jaxvision.data.actions.own_lists import Moment, Unit
from jaxvision.data.frame_sequence import FrameFolder, FrameSequence
from jaxvision.data.picture_files import read_picture
from jaxvision.data.video import Video
from jaxvision.errors import InputError

LEAST_SIDE = 32  # of a film's frames, in pixels
SAME_TIME = 1e-4  # seconds that a list may round a frame's time down by
UCF_TEMPLATE, JHMDB_TEMPLATE = "{:05}.jpg", "{:05}.png"


class ListedFrames(FrameSequence):
    """A film whose frames are picture files of any names, in the order of a list."""

    def __init__(self, name: str, files: Sequence[Path]):
        self.name, self._files = name, tuple(files)

    def __len__(self) -> int:
        return len(self._files)

    def _read(self, numbers: Sequence[int]) -> list[UInt8[np.ndarray, "h w 3"]]:
        return [np.asarray(read_picture(self._files[number])) for number in numbers]


@dataclass(frozen=True, kw_only=True)
class KeyFrame:
    """film: its frames, or the path of a video file.  second: what the annotations call this
    moment.  centre: number of the frame, from 0.  boxes: x1, y1, x2, y2 as shares of the frame.
    actions: 1 where a person does one."""

    video: str
    second: float
    centre: int
    film: FrameSequence | Path
    boxes: Float[np.ndarray, "people 4"]
    actions: UInt8[np.ndarray, "people classes"]

    def clip(self, frames: int, stride: int) -> UInt8[np.ndarray, "{frames} h w 3"]:
        """`frames` frames, `stride` apart, around the key frame; a film's ends repeat. InputError
        where the key frame lies beyond the film, or a frame cannot be read."""
        with Video(self.film) if isinstance(self.film, Path) else self.film as film:
            if self.centre >= len(film):
                raise InputError(
                    f"{self.video}: key frame {self.centre} of second {self.second:g} lies beyond "
                    f"its {len(film)} frames"
                )
            return film.frames(clip_frames.around(self.centre, frames, stride, len(film)))


@dataclass(frozen=True)
class KeyFrameRecords:
    """Key frames as the loader wants them: a record is the item, whose clip its transform reads.

    without_film: annotated seconds of films that the frame list lacks.  without_people: films of it
    that no annotated second is of.  outside: rows of seconds that AVA does not annotate.
    """

    items: tuple[KeyFrame, ...]
    without_film: int = 0
    without_people: int = 0
    outside: int = 0

    def left_out(self) -> str:
        """What the annotations and the frame list say in vain; nothing where they agree."""
        counts = {
            "annotated seconds of films without frames": self.without_film,
            "films without annotated seconds": self.without_people,
            "rows of seconds that AVA does not annotate": self.outside,
        }
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> KeyFrame:
        return self.items[index]

    def name(self, index: int) -> str:
        item = self.items[index]
        return f"{item.video} at {item.second:g}"

    def files(self) -> list[Path]:
        return sorted({item.film for item in self.items if isinstance(item.film, Path)})


def film_sizes(items: Sequence[KeyFrame]) -> list[tuple[int, int]]:
    """(height, width) of each key frame's film; every film is opened once. InputError for one with
    a side below LEAST_SIDE."""
    known: dict[Any, tuple[int, int]] = {}
    found = []
    for item in items:
        key = item.film if isinstance(item.film, Path) else id(item.film)
        if key not in known:
            known[key] = _film_size(item.film)
        found.append(known[key])
    return found


def _film_size(film: FrameSequence | Path) -> tuple[int, int]:
    if isinstance(film, Path):
        with Video(film) as video:
            height, width = video.size
    else:
        height, width = film.frames([0]).shape[1:3]
    if min(height, width) < LEAST_SIDE:
        name = film if isinstance(film, Path) else film.name
        raise InputError(
            f"{name}: frames of {width} x {height}; expected sides of at least {LEAST_SIDE}"
        )
    return height, width


def ava_key_frames(
    people: KeyFramePeople,
    lists: Mapping[str, Sequence[str]],
    root: Path,
    *,
    classes: int = 80,
    rate: int = 30,
) -> KeyFrameRecords:
    """AVA's annotated seconds (`ava_people.read_people`) of the films that a frame list holds, in
    its order, seconds ascending. root: of the list's files.  rate: frames a second."""
    items = []
    for video, files in lists.items():
        film = ListedFrames(video, [root / file for file in files])
        items += [
            KeyFrame(
                video=video,
                second=second,
                centre=centre_frame(second, rate),
                film=film,
                boxes=found.boxes,
                actions=_multi_hot(found.actions, classes),
            )
            for second, found in people.frames.get(video, {}).items()
        ]
    seconds = {video: len(found) for video, found in people.frames.items()}
    return KeyFrameRecords(
        tuple(items),
        without_film=sum(count for video, count in seconds.items() if video not in lists),
        without_people=len(lists.keys() - seconds.keys()),
        outside=people.outside,
    )


def tube_key_frames(
    truth: ActionTubes, videos: Sequence[str], root: Path, template: str
) -> KeyFrameRecords:
    """Every frame of some videos that has people, from picture files `root`/VIDEO/template: a
    tube's frame f is file f, and frame f - 1 of the film. template: UCF_TEMPLATE or JHMDB_TEMPLATE.

    Boxes become shares of the frame, from their first to behind their last pixel.
    """
    items = []
    for video in videos:
        height, width = truth.resolution[video]
        film = FrameFolder(root / video, truth.frames[video], template)
        by_frame: dict[int, list[tuple[int, np.ndarray]]] = {}
        for label, tubes in truth.tubes[video].items():
            for row in (row for tube in tubes for row in tube):
                by_frame.setdefault(int(row[0]), []).append((label, row[1:]))
        for frame in sorted(by_frame):
            boxes = np.array([box for _, box in by_frame[frame]], np.float64)
            boxes += np.array([0, 0, 1, 1])
            items.append(
                KeyFrame(
                    video=video,
                    second=frame,
                    centre=frame - 1,
                    film=film,
                    boxes=np.clip(boxes / (width, height, width, height), 0, 1),
                    actions=_multi_hot(
                        [(label + 1,) for label, _ in by_frame[frame]], len(truth.labels)
                    ),
                )
            )
    return KeyFrameRecords(tuple(items))


def own_key_frames(moments: Sequence[Moment], root: Path, unit: Unit = "shares") -> KeyFrameRecords:
    """The frame that is shown at each time of a list of one's own (`own_lists.read_own_list`).
    root: of its clips, which are video files.  unit: of its boxes.

    InputError names the clip of a time behind its last frame, and of a box in pixels beyond its
    frames: it is of another size.
    """
    by_clip: dict[str, list[Moment]] = {}
    for moment in moments:
        by_clip.setdefault(moment.clip, []).append(moment)
    items = []
    for clip, of_clip in by_clip.items():
        path = root / clip
        with Video(path) as film:
            times, (height, width) = film.times, film.size
        last = times[-1] + (times[-1] - times[0]) / max(len(times) - 1, 1)
        for moment in of_clip:
            if moment.time > last:
                raise InputError(f"{path}: time {moment.time:g} s; the film ends at {last:.3f} s")
            boxes = moment.boxes
            if unit == "pixels":
                if boxes.min() < 0 or (boxes > (width, height, width, height)).any():
                    raise InputError(
                        f"{path}: a box at {moment.time:g} s lies beyond its {width} x {height} "
                        "pixels"
                    )
                boxes = boxes / (width, height, width, height)
            items.append(
                KeyFrame(
                    video=clip,
                    second=moment.time,
                    centre=max(int(np.searchsorted(times, moment.time + SAME_TIME)) - 1, 0),
                    film=path,
                    boxes=boxes,
                    actions=moment.actions,
                )
            )
    return KeyFrameRecords(tuple(items))


def _multi_hot(
    actions: Sequence[Sequence[int]], classes: int
) -> UInt8[np.ndarray, "people {classes}"]:
    """Rows of 0 and 1, of ids that count from 1."""
    rows = np.zeros((len(actions), classes), np.uint8)
    for row, ids in zip(rows, actions, strict=True):
        row[[number - 1 for number in ids]] = 1
    return rows
