"""A linear probe: how well a linear classifier does on frozen, pooled encoder features."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from jaxvision.data.camera import KINDS
from jaxvision.methods.videomae import inputs
from jaxvision.methods.videomae.model import MaskedAutoencoder
from jaxvision.training.task import Batch, Evaluation, Variables


def probe_evaluation(config: ConfigDict, model: MaskedAutoencoder) -> Evaluation:
    """Fit on clips of the training photographs, test on clips of photographs never trained on.

    Labels are the kinds of camera motion. Results in [0, 1]: `accuracy`, `chance`, and the accuracy
    on each kind.
    """
    source, specs = inputs.labelled_source(config)

    def outputs(variables: Variables, batch: Batch, rng: Any) -> dict[str, Any]:
        tokens = model.apply(variables, batch["input"], method="encode").astype(jnp.float32)
        return {
            "features": pooled(tokens, model.grid.window),
            "label": batch["label"],
            "held_out": batch["held_out"],
        }

    return Evaluation(
        source=source,
        batch_specs=specs,
        outputs=outputs,
        accumulate=collect,
        finish=finish,
    )


def pooled(
    tokens: Float[Array, "b n d"], window: tuple[int, int, int]
) -> Float[Array, "b features"]:
    """Mean over all tokens, and deviation over time averaged over places: motion is change."""
    by_place = tokens.reshape(tokens.shape[0], *window, -1)
    change = jnp.mean(jnp.std(by_place, axis=1), axis=(1, 2))
    return jnp.concatenate([jnp.mean(tokens, axis=1), change], axis=-1)


def collect(total: Any, outputs: Mapping[str, np.ndarray], index: np.ndarray, bucket: str) -> Any:
    """Every record's row, kept by its index, so that batching cannot change the result."""
    total = total if total is not None else {}
    for row, number in enumerate(index):
        total[int(number)] = {name: value[row] for name, value in outputs.items()}
    return total


def finish(total: Mapping[int, Mapping], variables: Variables) -> dict[str, float]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = [total[number] for number in sorted(total)]
    features = np.stack([row["features"] for row in rows])
    labels = np.array([row["label"] for row in rows])
    held_out = np.array([row["held_out"] for row in rows], bool)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    classifier.fit(features[~held_out], labels[~held_out])
    right = classifier.predict(features[held_out]) == labels[held_out]
    by_kind = {kind: right[labels[held_out] == n].mean() for n, kind in enumerate(KINDS)}
    return {"accuracy": right.mean(), "chance": 1 / len(KINDS), **by_kind}
