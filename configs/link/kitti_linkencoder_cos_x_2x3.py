"""SemanticKITTI: LinK encoder, kernel cos + x, 2 x 3.

    jaxvision train --config link/kitti_linkencoder_cos_x_2x3 --workdir RUN \
        --config.data.root=FOLDER

The published settings, four processes with their own batch-norm statistics.
Published: 67.33 mIoU on sequence 08. Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.link.segmentation.recipes import SEMANTIC_KITTI, segmentation


def get_config() -> ConfigDict:
    return segmentation(SEMANTIC_KITTI, "linkencoder", "cos_x", neighbours=2, edge=3, groups=1)
