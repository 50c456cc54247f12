"""SparseFormer: a head of your own on a frozen network, on a laptop; docs/frozen_features.md.

    jaxvision train --config sparseformer/own_head --workdir RUN \\
        --config.data.train=FOLDER --config.data.validation=FOLDER

The network published as sparseformer/tiny (fetched if it is not here) answers two views of every
training picture once, and one of every validation picture; the folder `features` keeps what it
says, and the head learns from that: one query that attends to all tokens, as V-JEPA's probes do
(2404.08471). sparseformer/own_head:pooling=mean is a linear probe on the published embedding.
network=base (any recipe of a published network) is a larger one; weights=runs/mine, the workdir of
a run here, another.
Ours, not published. Not run on published weights here; tests train it on small ones.
"""

from ml_collections import ConfigDict

from jaxvision.tasks import frozen_head
from jaxvision.training.config import find_recipe, recipe_arguments, run_recipe


def get_config(arguments: str = "") -> ConfigDict:
    given = recipe_arguments(arguments, network="tiny", weights="", pooling="attention")
    config = run_recipe(find_recipe(f"sparseformer/{given.network}"))
    weights = given.weights or f"sparseformer/{given.network}"
    config.model.update({"pooling": given.pooling, "head_dropout": 0.0, "drop_path": 0.0})
    frozen_head.set_up_training(config)
    config.data.update({"name": "folder", "workers": 0})
    config.ema.decay = 0.0
    config.evaluate.update({"weights": "raw", "every_steps": 0})
    config.checkpoint.every_steps = 1000
    pixels = ("size", "short_side", "resampling", "normalisation")
    frozen_head.take_from_run(config, weights, tuple(f"data.{name}" for name in pixels))
    config.init = ({"from": weights, "to": "encoder", "drop": (r"^head/",)},)
    return config
