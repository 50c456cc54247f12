"""nuScenes detection: CenterPoint with LinK's backbone, voxels of 0.075 m.

    jaxvision prepare nuscenes FOLDER INDEX --version v1.0-trainval --sweeps 10
    jaxvision train --config link/nuscenes_centerpoint_elkv3 --workdir RUN \
        --config.data.root=FOLDER --config.data.index=INDEX \
        --config.data.train="('scene-0001', ...)" --config.data.test="('scene-0003', ...)"

The splits are the devkit's lists of scenes; `mini_train` and `mini_val` are known by name.
Test-time views as published: --config.task.double_flip=True, and for the full set also
--config.task.angles="(0.0, 6.25, -6.25, 12.5, -12.5, 25.0, -25.0)".

The published settings, four processes of two scans. Published: 69.5 NDS, 63.6 mAP (val). Ours: not
run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.link.detection.recipes import NUSCENES, detection


def get_config() -> ConfigDict:
    return detection(NUSCENES)
