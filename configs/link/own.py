"""Your own scans: `.bin` (float32 x, y, z, reflectance) with `.label` files, or `.ply`.

    jaxvision train --config link/own --workdir RUN --config.data.root=FOLDER

FOLDER holds `train` and `test`. Name your classes below: {name: raw label ids}; raw ids in
`ignored` are read by no loss and no metric, any other id is unknown and read by no loss. Measure
the voxels of your scans before you choose a voxel size and capacities: `jaxvision inspect` shows a
batch, and training reports `voxels_left_out` and `overflow`.
"""

from ml_collections import ConfigDict

from jaxvision.methods.link.segmentation.recipes import SEMANTIC_KITTI, segmentation


def get_config() -> ConfigDict:
    config = segmentation(SEMANTIC_KITTI, "linkunet", "cos", neighbours=3, edge=7, groups=2)
    config.data.update({"name": "own", "train": "train", "test": "test"})
    config.data.classes = ConfigDict({"ground": (1,), "structure": (2,), "vegetation": (3,)})
    config.train.batch_size = 2
    config.train.norm_groups = 1
    config.train.loss_groups = 1
    config.train.steps = 10000
    config.optim.learning_rate.peak = 0.06
    return config
