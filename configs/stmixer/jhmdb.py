"""STMixer with SlowFast 8x8 R50 on JHMDB: every frame is a key frame.

    jaxvision train --config stmixer/jhmdb:start=ava.pth --config.data.split=2 --workdir runs/jhmdb2

The authors published a frame mAP of 86.7 % over the three splits but no settings: these are AVA's,
as far as they go; epochs are ours. start: an AVA checkpoint, whose classes start anew.
"""

from ml_collections import ConfigDict

from jaxvision.methods.stmixer.recipes import tubes
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    return tubes("{:05}.png", 21, start=recipe_arguments(arguments, start="").start)
