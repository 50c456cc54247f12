"""UMT: a head of your own on a frozen encoder, on a laptop; docs/frozen_features.md.

    jaxvision train --config umt/own_head --workdir RUN \\
        --config.data.train=FOLDER --config.data.validation=FOLDER

The encoder that was tuned on Kinetics-710 (fetched if it is not here) answers two views of every
training video once, and one of every validation video; the folder `features` keeps what it says,
and the head learns from that: one query that attends to all tokens, as V-JEPA's probes do
(2404.08471). umt/own_head:pooling=mean is a linear probe; size=l, another published file
(weights=umt/b16_ptk710_f8_res224.pth: stage 1), or the workdir of a run here (weights=runs/mine;
also of stage 2 and what is tuned from it) is another encoder.
Ours, not published. Not run on published weights here; tests train it on small ones.
"""

from ml_collections import ConfigDict

from jaxvision.methods.umt.recipes import head
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    given = recipe_arguments(arguments, size="b", weights="", pooling="attention")
    weights = given.weights or f"umt/{given.size}16_ptk710_ftk710_f8_res224.pth"
    return head(given.size, weights=weights, pooling=given.pooling)
