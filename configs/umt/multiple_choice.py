"""UMT for the right one of five captions of a video (MSRVTT-MC).

    jaxvision train --config umt/multiple_choice:size=b,data=25m --workdir RUN \
        --config.data.train=msrvtt_ret_train7k.json --config.data.validation=msrvtt_mc_test.json \
        --config.data.root=FOLDER --config.data.vocabulary=vocab.txt

Every published script: size=b|l, data=5m|17m|25m (of stage 2, the start). It is tuned as for
retrieval, 8 x 32 clips of 12 frames a step, and judged by 0.7 of matching and 0.3 of contrast.
Published accuracy after 5m, 17m, 25m: 95.9, 96.3, 96.3 (B); 96.8, 97.7, 97.3 (L).
On one GPU: umt/multiple_choice:size=b,gpus=1, 32 clips a step.
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.umt.language.recipes import multiple_choice
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    given = recipe_arguments(arguments, size="b", data="25m", gpus=0)
    return multiple_choice(given.size, given.data, gpus=given.gpus)
