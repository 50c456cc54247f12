"""nuScenes detection: CenterPoint with LinK's backbone, voxels of 0.1 m, four scans a process.

    jaxvision train --config link/nuscenes_centerpoint_elkv3_01voxel --workdir RUN \
        --config.data.root=FOLDER --config.data.index=INDEX \
        --config.data.train="('scene-0001', ...)" --config.data.test="('scene-0003', ...)"

The settings upstream keeps in its archive. Published: not in the paper. Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.link.detection.recipes import NUSCENES_01, detection


def get_config() -> ConfigDict:
    return detection(NUSCENES_01)
