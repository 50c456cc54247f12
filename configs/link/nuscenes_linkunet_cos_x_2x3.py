"""nuScenes-lidarseg: LinK U-Net, kernel cos + x, 2 x 3.

    jaxvision train --config link/nuscenes_linkunet_cos_x_2x3 --workdir RUN \
        --config.data.root=FOLDER \
        --config.data.train="('scene-0001', ...)" --config.data.test="('scene-0003', ...)"

The splits are the devkit's lists of scenes; `mini_train` and `mini_val` are known by name.

The published settings, four processes with their own batch-norm statistics.
Published: not in the paper. Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.link.segmentation.recipes import NUSCENES, segmentation


def get_config() -> ConfigDict:
    return segmentation(NUSCENES, "linkunet", "cos_x", neighbours=2, edge=3, groups=1)
