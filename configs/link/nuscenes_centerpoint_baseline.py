"""nuScenes detection: the CenterPoint baseline, without large kernels, voxels of 0.075 m.

    jaxvision train --config link/nuscenes_centerpoint_baseline --workdir RUN \
        --config.data.root=FOLDER --config.data.index=INDEX \
        --config.data.train="('scene-0001', ...)" --config.data.test="('scene-0003', ...)"

The published settings, four processes of two scans. Published: 66.8 NDS, 59.6 mAP (val). Ours: not
run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.link.detection.recipes import NUSCENES, detection


def get_config() -> ConfigDict:
    return detection(NUSCENES, "baseline")
