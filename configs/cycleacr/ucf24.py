"""CycleACR with SlowFast 8x8 R101 on UCF101-24: every frame with people is a key frame.

    jaxvision train --config cycleacr/ucf24:start=ava.pth --workdir runs/ucf24

The paper reports UCF101-24, but the published code has neither settings nor data of it: these are
ours. Every fourth frame, up to 120 before and after, is remembered. start: an AVA checkpoint, whose
classes start anew.
"""

from ml_collections import ConfigDict

from jaxvision.methods.cycleacr.recipes import tubes
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    return tubes(start=recipe_arguments(arguments, start="").start)
