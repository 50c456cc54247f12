"""CamLiRAFT on KITTI scene flow 2015: 800 epochs from a FlyingThings3D checkpoint, as published.

    jaxvision train --config camliflow/camliraft_kitti:start=camliraft_things150e.pt \
        --workdir runs/kitti

--config.task.benchmarks.kitti_scene_flow=FOLDER prints the benchmark's D1, D2, Fl and SF of
training40, by the disparities that the authors distribute (training/disp_ganet).
"""

from ml_collections import ConfigDict

from jaxvision.methods.camliflow.recipes import kitti
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    return kitti(recipe_arguments(arguments, start="").start)
