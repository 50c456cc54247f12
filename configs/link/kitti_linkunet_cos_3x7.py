"""SemanticKITTI: LinK U-Net, kernel cos, 3 x 7.

    jaxvision train --config link/kitti_linkunet_cos_3x7 --workdir RUN \
        --config.data.root=FOLDER

The published settings, four processes with their own batch-norm statistics.
Published: 67.50 mIoU on sequence 08. Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.link.segmentation.recipes import SEMANTIC_KITTI, segmentation


def get_config() -> ConfigDict:
    return segmentation(SEMANTIC_KITTI, "linkunet", "cos", neighbours=3, edge=7, groups=2)
