"""SemanticKITTI: LinK encoder, kernel cos, 3 x 5.

    jaxvision train --config link/kitti_linkencoder_cos_3x5 --workdir RUN \
        --config.data.root=FOLDER

The published settings, four processes with their own batch-norm statistics.
Published: 67.07 mIoU on sequence 08. Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.link.segmentation.recipes import SEMANTIC_KITTI, segmentation


def get_config() -> ConfigDict:
    return segmentation(SEMANTIC_KITTI, "linkencoder", "cos", neighbours=3, edge=5, groups=2)
