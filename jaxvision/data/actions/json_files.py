"""People as JSON, in the layout of AlphAction and CycleACR.

Annotations: `{"images": [{id, movie, timestamp, width, height}], "annotations": [{image_id, bbox,
action_ids}]}`. Detected people: `[{image_id, bbox, score}]`. A `bbox` is x, y, width, height in
pixels of the clip.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxvision.data.actions import pixel_boxes
from jaxvision.data.atomic_write import atomic_write
from jaxvision.errors import InputError, reading
from jaxvision.text_files import read_json


class Image(NamedTuple):
    """A key frame: `second` of `movie`; width and height of its clip, in pixels."""

    movie: str
    second: int
    width: int
    height: int


class People(NamedTuple):
    """boxes: x1, y1, x2, y2 in pixels, inclusive, within the frame.  actions: 1 where a person does
    one, by id - 1; nothing is known of detected people.  scores: the detector's; 1 in truth."""

    boxes: Float[np.ndarray, "n 4"]
    actions: np.ndarray
    scores: Float[np.ndarray, " n"]


def read_annotations(path: Path, classes: int) -> tuple[dict[int, Image], dict[int, People], int]:
    """Images by ascending id, the people of those that have an annotation, and how many boxes were
    empty within their frame (they are dropped).

    InputError names the annotation of an unknown image, an image that comes twice or has no size,
    and an action id outside 1 to `classes`.
    """
    with reading(path, "people as JSON"):
        return _annotations(path, read_json(path), classes)


def _annotations(
    path: Path, content: Any, classes: int
) -> tuple[dict[int, Image], dict[int, People], int]:
    images = _images(path, _list(path, content, "images"))
    entries, dropped, people = _by_image(path, _list(path, content, "annotations"), images), 0, {}
    for number in images:
        if number not in entries:
            continue
        actions = np.zeros((len(entries[number]), classes), np.uint8)
        for row, entry in enumerate(entries[number]):
            for action in _field(path, entry, "action_ids"):
                if type(action) is not int or not 1 <= action <= classes:
                    raise InputError(
                        f"{path}: image {number}: action id {action!r}; expected 1 to {classes}"
                    )
                actions[row, action - 1] = 1
        boxes, kept = _boxes(path, entries[number], images[number])
        dropped += len(kept) - int(kept.sum())
        people[number] = People(boxes[kept], actions[kept], np.ones(int(kept.sum()), np.float32))
    return images, people, dropped


def _images(path: Path, entries: Sequence[Any]) -> dict[int, Image]:
    images = {}
    for entry in entries:
        number, movie, second, width, height = (
            _field(path, entry, key) for key in ("id", "movie", "timestamp", "width", "height")
        )
        if type(number) is not int:
            raise InputError(f"{path}: image {number!r}; expected a whole number as its id")
        if number in images:
            raise InputError(f"{path}: image {number} comes twice")
        images[number] = Image(str(movie), int(second), int(width), int(height))
        if min(images[number][2:]) < 1:
            raise InputError(f"{path}: image {number}: {width} x {height} pixels")
    return dict(sorted(images.items()))


def read_detected(
    path: Path, images: Mapping[int, Image], threshold: float = 0.0, *, within: bool = False
) -> tuple[dict[int, People], int]:
    """Detected people with a score of at least `threshold`, of the images that have any, by
    ascending id, and how many boxes were empty within their frame (they are dropped).

    InputError names an unknown image: the file is of another set of images. within: refuse, too,
    boxes that begin beyond their frame: they are of frames of another size.
    """
    with reading(path, "people as JSON"):
        content = read_json(path)
        found = _detected(path, content, images, threshold)
        if within:
            _check_within(path, content, images)
        return found


def _check_within(path: Path, entries: Sequence[Any], images: Mapping[int, Image]) -> None:
    for number, of_image in _by_image(path, entries, images).items():
        image = images[number]
        for entry in of_image:
            x, y = (_number(path, value, entry) for value in _field(path, entry, "bbox")[:2])
            if x > image.width or y > image.height:
                raise InputError(
                    f"{path}: image {number}: a box from x {x:g}, y {y:g}, beyond its frame of "
                    f"{image.width} x {image.height}"
                )


def _detected(
    path: Path, content: Any, images: Mapping[int, Image], threshold: float
) -> tuple[dict[int, People], int]:
    entries = _by_image(path, _list(path, {"": content}, ""), images)
    for entry in (entry for of_image in entries.values() for entry in of_image):
        _number(path, _field(path, entry, "score"), entry)
    people, dropped = {}, 0
    for number in images:
        sure = [e for e in entries.get(number, ()) if _field(path, e, "score") >= threshold]
        if sure:
            boxes, kept = _boxes(path, sure, images[number])
            dropped += len(kept) - int(kept.sum())
            scores = np.array([entry["score"] for entry in sure], np.float32)[kept]
            people[number] = People(boxes[kept], np.zeros((len(scores), 0), np.uint8), scores)
    return people, dropped


def write_detected(path: Path, people: Mapping[int, People]) -> None:
    """What `read_detected` reads: every box of every image, with its score."""
    entries = [
        {
            "image_id": number,
            "bbox": [round(float(value), 3) for value in box],
            "score": round(float(score), 6),
        }
        for number, found in people.items()
        for box, score in zip(
            pixel_boxes.to_corner_and_size(found.boxes), found.scores, strict=True
        )
    ]
    with atomic_write(Path(path)) as temporary:
        Path(temporary).write_text(json.dumps(entries), encoding="utf-8")


def _list(path: Path, content: Any, key: str) -> Sequence[Mapping[str, Any]]:
    value = content.get(key) if isinstance(content, dict) else None
    if not isinstance(value, list):
        raise InputError(f"{path}: expected a list{f' under {key!r}' if key else ' of detections'}")
    return value


def _field(path: Path, entry: Any, key: str) -> Any:
    if not isinstance(entry, dict) or key not in entry:
        raise InputError(f"{path}: an entry without {key!r}: {entry}")
    return entry[key]


def _number(path: Path, value: Any, entry: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise InputError(f"{path}: {value!r} in {entry}; expected a finite number")
    return value


def _by_image(
    path: Path, entries: Sequence[Any], images: Mapping[int, Image]
) -> dict[int, list[Mapping[str, Any]]]:
    found: dict[int, list[Mapping[str, Any]]] = {}
    for entry in entries:
        number = _field(path, entry, "image_id")
        if type(number) not in (int, float) or number not in images:
            known = f" (images {min(images)} to {max(images)})" if images else ""
            raise InputError(
                f"{path}: a box of image {number!r}, which the annotations do not list{known}"
            )
        found.setdefault(number, []).append(entry)
    return found


def _boxes(
    path: Path, entries: Sequence[Mapping[str, Any]], image: Image
) -> tuple[Float[np.ndarray, "n 4"], np.ndarray]:
    """Boxes within the frame, and which of them are not empty."""
    with reading(path, "boxes of x, y, width and height"):
        read = np.array([_field(path, entry, "bbox") for entry in entries], np.float32)
        if not np.isfinite(read).all():
            entry = entries[int(np.argmin(np.isfinite(read).reshape(len(read), -1).all(axis=1)))]
            raise InputError(f"{path}: the box of {entry}; expected finite numbers")
        boxes = pixel_boxes.from_corner_and_size(read.reshape(len(entries), 4))
    boxes = pixel_boxes.clipped(boxes, (image.width, image.height))
    return boxes, pixel_boxes.not_empty(boxes)
