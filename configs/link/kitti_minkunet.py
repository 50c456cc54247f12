"""SemanticKITTI: the MinkUNet baseline.

    jaxvision train --config link/kitti_minkunet --workdir RUN \
        --config.data.root=FOLDER

The published settings, four processes with their own batch-norm statistics.
Published: not in the paper. Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.link.segmentation.recipes import SEMANTIC_KITTI, segmentation


def get_config() -> ConfigDict:
    return segmentation(SEMANTIC_KITTI, "minkunet")
