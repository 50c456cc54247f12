"""STMixer with SlowFast 8x8 R50 on UCF101-24: every frame with people is a key frame.

    jaxvision train --config stmixer/ucf24:start=ava.pth --workdir runs/ucf24

The authors published a frame mAP of 83.7 % (with CSN-152) but no settings: these are AVA's, as
far as they go; epochs are ours. start: an AVA checkpoint, whose classes start anew.
"""

from ml_collections import ConfigDict

from jaxvision.methods.stmixer.recipes import tubes
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    return tubes("{:05}.jpg", 24, start=recipe_arguments(arguments, start="").start)
