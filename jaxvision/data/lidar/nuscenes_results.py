"""Boxes in the world: the benchmark's truth, and result files in its submission format."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jaxvision.data.atomic_write import atomic_write
from jaxvision.data.lidar.boxes import heading_of
from jaxvision.data.lidar.nuscenes_tables import CLASS_OF, RACK, Pose, Tables
from jaxvision.errors import InputError, nearest
from jaxvision.ops.quaternions import about_z, product, rotation_matrix
from jaxvision.text_files import check_shape, number_or_nan, read_json

ATTRIBUTES = (
    "pedestrian.moving",
    "pedestrian.sitting_lying_down",
    "pedestrian.standing",
    "cycle.with_rider",
    "cycle.without_rider",
    "vehicle.moving",
    "vehicle.parked",
    "vehicle.stopped",
)
MAX_BOXES = 500  # of a sample
MOVING = 0.2  # m/s
# One box of a result file. A velocity that is not known is NaN.
BOX = {
    **{"detection_name": str, "attribute_name": str, "detection_score": number_or_nan},
    **{"translation": (number_or_nan,) * 3, "size": (number_or_nan,) * 3},
    **{"rotation": (number_or_nan,) * 4, "velocity": (number_or_nan,) * 2},
}
META = dict.fromkeys(("use_camera", "use_radar", "use_map", "use_external"), False)
META = {"use_lidar": True} | META


@dataclass(frozen=True, kw_only=True)
class WorldBoxes:
    """Boxes of samples, one row each: see jaxvision.metrics.detection.EvaluatedBoxes.

    names: class of each.  attributes: "" where there is none.
    """

    sample: Int[np.ndarray, " n"]
    translation: Float[np.ndarray, "n 3"]
    size: Float[np.ndarray, "n 3"]
    rotation: Float[np.ndarray, "n 4"]
    velocity: Float[np.ndarray, "n 2"]
    names: tuple[str, ...]
    attributes: tuple[str, ...]
    points: Int[np.ndarray, " n"]
    score: Float[np.ndarray, " n"]


def _gather(rows: list[tuple]) -> WorldBoxes:
    """Rows of the columns in order; see `WorldBoxes`."""
    columns = list(zip(*rows, strict=True)) or [()] * 9
    sample, translation, size, rotation, velocity, names, attributes, points, score = columns
    return WorldBoxes(
        sample=np.array(sample, np.int64),
        translation=np.array(translation, float).reshape(-1, 3),
        size=np.array(size, float).reshape(-1, 3),
        rotation=np.array(rotation, float).reshape(-1, 4),
        velocity=np.array(velocity, float).reshape(-1, 2),
        names=tuple(names),
        attributes=tuple(attributes),
        points=np.array(points, np.int64),
        score=np.array(score, float),
    )


def truth_of(tables: Tables, samples: Sequence[str]) -> tuple[WorldBoxes, WorldBoxes]:
    """Annotations of detection classes, and bicycle racks, in annotation-table order."""
    number = {token: n for n, token in enumerate(samples)}
    found: list[tuple] = []
    racks: list[tuple] = []
    for note in tables.table("sample_annotation").values():
        if note["sample_token"] not in number:
            continue
        category = tables.category(note)
        place = number[note["sample_token"]], note["translation"], note["size"], note["rotation"]
        if category == RACK:
            racks.append((*place, np.zeros(2), RACK, "", -1, 0.0))
        elif category in CLASS_OF:
            points = note["num_lidar_pts"] + note["num_radar_pts"]
            velocity = tables.velocity(note)[:2]
            attribute = tables.attribute(note)
            found.append((*place, velocity, CLASS_OF[category], attribute, points, 0.0))
    return _gather(found), _gather(racks)


def ego_places(tables: Tables, samples: Sequence[str]) -> Float[np.ndarray, "s 3"]:
    """The vehicle's place at each sample's key frame."""
    poses = [tables.poses(tables.key_frames[token])[1] for token in samples]
    return np.array([pose.translation for pose in poses]).reshape(-1, 3)


def read_results(path: Path, samples: Sequence[str], classes: Sequence[str]) -> WorldBoxes:
    """A result file of exactly these samples, in the file's order.

    InputError for unknown or missing samples, unknown classes or attributes, too many boxes.
    """
    lists = read_json(path, {"results": {str: [dict]}})["results"]
    return check_results(lists, samples, classes, path)


def check_results(
    lists: Mapping[str, list[dict[str, Any]]],
    samples: Sequence[str],
    classes: Sequence[str],
    path: Path,
) -> WorldBoxes:
    """The boxes of a result file's lists. path: named in errors."""
    number = {token: n for n, token in enumerate(samples)}
    unknown = [token for token in lists if token not in number]
    if unknown:
        raise InputError(f"{path}: {len(unknown)} unknown sample tokens, the first {unknown[0]!r}")
    missing = [token for token in number if token not in lists]
    if missing:
        raise InputError(f"{path}: {len(missing)} samples are missing, the first {missing[0]!r}")
    rows = []
    for token, boxes in lists.items():
        if len(boxes) > MAX_BOXES:
            raise InputError(
                f"{path}: {len(boxes)} boxes of sample {token}; expected at most {MAX_BOXES}"
            )
        rows += [_read_box(box, token, number, classes, path) for box in boxes]
    return _gather(rows)


def _read_box(
    box: Mapping[str, Any],
    token: str,
    number: Mapping[str, int],
    classes: Sequence[str],
    path: Path,
) -> tuple:
    check_shape(box, BOX, f"{path}: a box of sample {token} is not whole")
    name, attribute, score = box["detection_name"], box["attribute_name"], box["detection_score"]
    place = [np.array(box[key], float) for key in ("translation", "size", "rotation", "velocity")]
    if name not in classes:
        raise InputError(f"{path}: class {name!r} of sample {token}{nearest(name, classes)}")
    if attribute and attribute not in ATTRIBUTES:
        raise InputError(f"{path}: attribute {attribute!r} of sample {token}")
    if not np.isfinite(np.concatenate([*place[:3], [score]])).all():
        raise InputError(f"{path}: a box of sample {token} is NaN or infinite")
    return (number[token], *place, name, attribute, -1, score)


def attribute_of(name: str, speed: float) -> str:
    """The published guess from class and speed (m/s)."""
    if speed > MOVING:
        if name in ("car", "construction_vehicle", "bus", "truck", "trailer"):
            return "vehicle.moving"
        if name in ("bicycle", "motorcycle"):
            return "cycle.with_rider"
    elif name == "pedestrian":
        return "pedestrian.standing"
    elif name == "bus":
        return "vehicle.stopped"
    usual = {"bicycle": "cycle.without_rider", "motorcycle": "cycle.without_rider"}
    usual |= dict.fromkeys(("car", "truck", "trailer", "construction_vehicle"), "vehicle.parked")
    usual |= {"bus": "vehicle.moving", "pedestrian": "pedestrian.moving"}
    # Barriers and cones have none that counts; the published code writes its first one.
    return usual.get(name, "cycle.with_rider")


def world_entries(
    token: str,
    sensor: Pose,
    ego: Pose,
    *,
    boxes: Float[np.ndarray, "n 9"],
    names: Sequence[str],
    scores: Float[np.ndarray, " n"],
) -> list[dict[str, Any]]:
    """Boxes of a sensor's frame as entries of a result file."""
    if not len(boxes):
        return []
    boxes = boxes.astype(float)
    rotation = about_z(heading_of(boxes[:, 8]))
    place = boxes[:, :3]
    velocity = np.concatenate([boxes[:, 6:8], np.zeros((len(boxes), 1))], axis=1)
    for pose in (sensor, ego):
        matrix = rotation_matrix(pose.rotation)
        place = place @ matrix.T + pose.translation
        velocity = velocity @ matrix.T
        rotation = product(pose.rotation, rotation)
    return [
        {
            "sample_token": token,
            "translation": place[n].tolist(),
            "size": boxes[n, 3:6].tolist(),
            "rotation": rotation[n].tolist(),
            "velocity": velocity[n, :2].tolist(),
            "detection_name": names[n],
            "detection_score": float(scores[n]),
            "attribute_name": attribute_of(names[n], float(np.hypot(*velocity[n, :2]))),
        }
        for n in range(len(boxes))
    ]


def write_results(path: Path, results: Mapping[str, list[dict[str, Any]]]) -> None:
    """A result file, lidar only. InputError for a sample with too many boxes."""
    for token, boxes in results.items():
        if len(boxes) > MAX_BOXES:
            raise InputError(f"{path}: {len(boxes)} boxes of sample {token}; at most {MAX_BOXES}")
    with atomic_write(path) as temporary:
        Path(temporary).write_text(json.dumps({"meta": META, "results": dict(results)}))
