"""What a linear probe finds in the frozen encoder: the kinds of camera motion."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from jaxvision.data.camera import KINDS
from jaxvision.methods.videomae import inputs
from jaxvision.methods.videomae.model import MaskedAutoencoder
from jaxvision.tasks import linear_probe
from jaxvision.training.task import Batch, Evaluation, Variables


def probe_evaluation(
    config: ConfigDict, model: MaskedAutoencoder, fresh: Callable[[], Variables]
) -> Evaluation:
    """Fit on clips of the training photographs, test on clips of photographs never trained on;
    beside it the same with `fresh` weights."""

    def features(variables: Variables, batch: Batch) -> Float[Array, "b features"]:
        """Mean and deviation over all tokens: of filters that follow a motion, its energy."""
        tokens = model.apply(variables, batch["input"], method="encode").astype(jnp.float32)
        return jnp.concatenate([jnp.mean(tokens, axis=1), jnp.std(tokens, axis=1)], axis=-1)

    source, specs = inputs.labelled_source(config)
    return linear_probe.probe_evaluation(
        source, specs, features, tuple(KINDS), by_label=True, fresh=fresh
    )
