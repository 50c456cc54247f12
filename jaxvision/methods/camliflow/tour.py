"""CamLiFlow on the tour: how pixels and points move between two frames."""

import json
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from scipy.spatial import cKDTree

from jaxvision.data import pictures
from jaxvision.data.flow_files import write_flo
from jaxvision.data.scene_flow.frames import FramePair, drop_unusable
from jaxvision.methods.camliflow.evaluation import HELD_OUT_SEED
from jaxvision.methods.camliflow.inputs import moving_planes
from jaxvision.tasks.tour_stop import Shown, Stop
from jaxvision.viz.files import write_png
from jaxvision.viz.tour_page import Number, Picture

PAIRS = 3


def write(config: ConfigDict, folder: Path) -> dict[str, FramePair]:
    """Pairs that were never trained on, with the true flow; by the name of each file."""
    records = moving_planes(config.data, pictures.built_in("held_out"), PAIRS, HELD_OUT_SEED)
    pairs = {}
    for number in range(PAIRS):
        pair, name = records[number], f"pair_{number}"
        frames = []
        for frame in range(2):
            write_png(folder / f"{name}_{frame}.png", pair.images[frame])
            np.save(folder / f"{name}_{frame}.npy", pair.clouds[frame])
            frames.append({"image": f"{name}_{frame}.png", "cloud": f"{name}_{frame}.npy"})
        assert pair.flow_2d is not None
        write_flo(folder / f"{name}.flo", pair.flow_2d[..., :2])
        camera = [float(value) for value in pair.camera]
        table = {"camera": camera, "frames": frames, "flow_2d": [f"{name}.flo"]}
        (folder / f"{name}.json").write_text(json.dumps(table))
        pairs[name] = drop_unusable(pair)
    return pairs


def show(answers: Path, pairs: dict[str, FramePair]) -> Shown:
    flat, still, moved, unmoved = [], [], [], []
    for name, pair in pairs.items():
        (row,) = json.loads((answers / f"{name}.json").read_text())["pairs"]
        flat.append(row["epe2d"])
        assert pair.flow_2d is not None
        assert pair.flow_3d is not None
        still.append(float(np.linalg.norm(pair.flow_2d[..., :2], axis=-1).mean()))
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
    (first, *_) = pairs
    stem = answers / f"{first}_0000"
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
)
