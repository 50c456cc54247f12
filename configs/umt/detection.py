"""UMT for action detection: what each person of a key frame does (AVA 2.2).

    jaxvision train --config umt/detection:size=b --workdir RUN --config.data.root=clips/trainval
    jaxvision evaluate --workdir RUN

size=b|l. Films are cut into a file a second (`jaxvision prepare ava`), people are JSON in
AlphAction's layout; in evaluation those that a detector found. Starts from a Kinetics-710
classifier.
Published frame mAP: 33.5 (B), 39.8 (L), with boxes of a detector that is not part of it.
On one GPU: umt/detection:size=b,gpus=1, 8 clips a step. Without AVA: drawn figures whose boxes are
known, `--config.data.name=figures --config.data.train=4096 --config.data.validation=256`.
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.umt.recipes import detection
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    given = recipe_arguments(arguments, size="b", gpus=0)
    return detection(given.size, gpus=given.gpus)
