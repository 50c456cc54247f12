"""Your own scans with boxes: `.bin` or `.ply`, and `NAME.json` beside each.

    jaxvision train --config link/own_boxes --workdir RUN --config.data.root=FOLDER

FOLDER holds `train` and `test`. A `.json` is what `jaxvision predict` writes: {"boxes": [{"name",
"translation": x y z, "size": width length height, "heading": rad, "velocity": x y}]}, metres in the
scan's own frame, heading counter-clockwise from x; the velocity may be left out. A `.bin` has
`data.columns` float32 values a point: x, y, z, intensity and, fifth, the time lag of merged sweeps.

Name your classes in `data.tasks` (classes that overlap belong to one task), choose range and voxel
size (z needs at least 28 voxels), and watch `voxels_left_out`, `boxes_outside` and `overflow`.
"""

from ml_collections import ConfigDict

from jaxvision.methods.link.detection.recipes import NUSCENES, detection


def get_config() -> ConfigDict:
    config = detection(NUSCENES)
    config.data.update({"name": "own", "columns": 4, "sweeps": 1, "resample": False})
    with config.data.ignore_type():
        config.data.update({"train": "train", "test": "test"})
    config.data.tasks = (("car", "truck"), ("pedestrian",))
    config.data.paste = ConfigDict({})
    config.train.batch_size = 2
    config.train.loss_groups = 1
    config.train.steps = 20000
    config.evaluate.every_steps = 2000
    config.checkpoint.best = "scans/map"
    return config
