"""CamLiRAFT without pictures on FlyingThings3D: 100 epochs, as published.

    jaxvision train --config camliflow/camliraft_l_things --workdir runs/camliraft_l

Test sets of clouds alone: --config.task.benchmarks.kitti_noc=FOLDER, see the method's README.
"""

from ml_collections import ConfigDict

from jaxvision.methods.camliflow.recipes import things


def get_config() -> ConfigDict:
    return things("camliraft_l", epochs=100, batch=8, peak=2e-3, clip=1.0)
