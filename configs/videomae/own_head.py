"""VideoMAE V2: a head of your own on a frozen encoder, on a laptop; docs/frozen_features.md.

    jaxvision train --config videomae/own_head --workdir RUN \\
        --config.data.train=FOLDER --config.data.validation=FOLDER

The encoder of videomae/vit_b_k710 (fetched if it is not here) answers two views of every training
video once, and one of every validation video; the folder `features` keeps what it says, and the
head learns from that: one query that attends to all tokens, as V-JEPA's probes do (2404.08471).
videomae/own_head:pooling=mean is a linear probe. size=s is three times as fast; weights=FILE, or
the workdir of a pretraining or fine-tuning here (weights=runs/mine), is another encoder.
Ours, not published. Not run on published weights here; tests train it on small ones.
"""

from ml_collections import ConfigDict

from jaxvision.methods.videomae.recipes import head
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    given = recipe_arguments(arguments, size="b", weights="", pooling="attention")
    weights = given.weights or f"videomae/vit_{given.size}_k710"
    return head(given.size, weights=weights, pooling=given.pooling)
