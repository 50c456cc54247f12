"""CamLiFlow on the tour: how pixels and points move between two frames."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from ml_collections import ConfigDict
from scipy.spatial import cKDTree

from jaxvision.data import pictures
from jaxvision.data.flow_files import UNKNOWN, write_flo
from jaxvision.data.scene_flow.frames import FramePair, drop_unusable
from jaxvision.data.scene_flow.stereo_pair import motorcycle
from jaxvision.methods.camliflow.evaluation import HELD_OUT_SEED
from jaxvision.methods.camliflow.inputs import moving_planes, with_validity
from jaxvision.tasks.tour_stop import Shown, Stop
from jaxvision.viz.files import write_png
from jaxvision.viz.tour_page import Number, Picture

PAIRS = 9


def write(config: ConfigDict, folder: Path) -> dict[str, FramePair]:
    """Pairs that were never trained on, with the true flow; by the name of each file."""
    records = moving_planes(config.data, pictures.built_in("held_out"), PAIRS, HELD_OUT_SEED)
    return write_pairs(folder, {f"pair_{number}": records[number] for number in range(PAIRS)})


def write_motorcycle(config: ConfigDict, folder: Path) -> dict[str, FramePair]:
    return write_pairs(folder, {"motorcycle": motorcycle()})


def write_pairs(folder: Path, pairs: Mapping[str, FramePair]) -> dict[str, FramePair]:
    """NAME.json of every pair and the files that it names, as `predict` reads them; the pairs with
    the points that it will take."""
    for name, pair in pairs.items():
        frames = []
        for frame in range(2):
            write_png(folder / f"{name}_{frame}.png", pair.images[frame])
            np.save(folder / f"{name}_{frame}.npy", pair.clouds[frame])
            frames.append({"image": f"{name}_{frame}.png", "cloud": f"{name}_{frame}.npy"})
        assert pair.flow_2d is not None
        flow = np.where(valid_of(pair)[..., None], pair.flow_2d[..., :2], UNKNOWN)
        write_flo(folder / f"{name}.flo", flow)
        camera = [float(value) for value in pair.camera]
        table = {"camera": camera, "frames": frames, "flow_2d": [f"{name}.flo"]}
        (folder / f"{name}.json").write_text(json.dumps(table))
    return {name: drop_unusable(pair) for name, pair in pairs.items()}


def valid_of(pair: FramePair) -> Bool[np.ndarray, "h w"]:
    assert pair.flow_2d is not None
    return with_validity(pair.flow_2d, 2)[..., 2] > 0


def show(answers: Path, pairs: dict[str, FramePair]) -> Shown:
    """Numbers of all pairs, and pictures of the one whose error is in the middle."""
    flat, still, moved, unmoved = [], [], [], []
    for name, pair in pairs.items():
        (row,) = json.loads((answers / f"{name}.json").read_text())["pairs"]
        flat.append(row["epe2d"])
        assert pair.flow_2d is not None
        assert pair.flow_3d is not None
        length = np.linalg.norm(pair.flow_2d[..., :2], axis=-1)
        still.append(float(length[valid_of(pair)].mean()))
        found = np.load(answers / f"{name}_0000_flow_3d.npy")
        # Points were drawn: each is one of the cloud's.
        _, place = cKDTree(pair.clouds[0]).query(found[:, :3])
        truth = pair.flow_3d[place, :3]
        moved.append(float(np.linalg.norm(found[:, 3:] - truth, axis=1).mean()))
        unmoved.append(float(np.linalg.norm(truth, axis=1).mean()))
    numbers = [
        Number(
            f"{np.mean(flat):.2f} px",
            f"mean error of the flow of pixels, where no motion would have {np.mean(still):.2f}",
        ),
        Number(
            f"{np.mean(moved):.2f} m",
            f"mean error of the motion of points, where none would have {np.mean(unmoved):.2f}",
        ),
    ]
    middle = sorted(zip(flat, pairs, strict=True))[len(pairs) // 2][1]
    stem = answers / f"{middle}_0000"
    shown = [
        Picture(stem.with_name(f"{stem.name}_motion.html"), "Points and how they move: drag it"),
        Picture(stem.with_name(f"{stem.name}_flow.png"), "Flow of pixels (colour: direction)"),
        Picture(stem.with_name(f"{stem.name}_error.png"), "Its error: blue is small, red is large"),
    ]
    return Shown(shown, numbers)


STOPS = (
    Stop(
        name="camliflow",
        weights="camliflow/demo",
        title="How pixels and points move",
        what="Two frames of a camera and of a LiDAR at once: a branch for pixels and one for "
        "points ask each other at every level, and say how both move.",
        given="made-up scenes, planes with real photographs on them (scikit-image and "
        "scikit-learn), never trained on.",
        write=write,
        show=show,
    ),
    Stop(
        name="camliflow_stereo",
        weights="camliflow/demo",
        title="From the left eye to the right one",
        what="The same of a room, where nothing moves but the camera: all points by as much.",
        given="a real stereo pair with measured disparities (Middlebury's motorcycle, in "
        "scikit-image), reduced to 196 x 140 pixels. The left view was a still in training; all "
        "that the network learned was made-up motion of planes.",
        write=write_motorcycle,
        show=show,
    ),
)
