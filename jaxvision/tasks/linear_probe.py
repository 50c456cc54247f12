"""A linear probe: how well a linear classifier does on frozen, pooled features of clips."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxvision.data.source import Source
from jaxvision.tasks.record_rows import collect, columns
from jaxvision.training.task import Batch, BatchSpecs, Evaluation, Variables


def probe_evaluation(
    source: Source,
    batch_specs: BatchSpecs,
    features: Callable[[Variables, Batch], Float[Array, "b features"]],
    names: Sequence[str],
    *,
    by_label: bool = False,
    fresh: Callable[[], Variables] | None = None,
) -> Evaluation:
    """Fit on the clips whose `held_out` is False, test on the others; `label` is a place in names.

    Results in [0, 1]: `accuracy`, `chance`, by label the accuracy on each, and `fresh`: the
    accuracy with the weights that `fresh` makes, on the same clips and labels.
    """

    def outputs(variables: Variables, batch: Batch, rng: Any) -> dict[str, Any]:
        untrained = {} if fresh is None else {"fresh": features(fresh(), batch)}
        return {
            **untrained,
            "features": features(variables, batch),
            "label": batch["label"],
            "held_out": batch["held_out"],
        }

    return Evaluation(
        source=source,
        batch_specs=batch_specs,
        outputs=outputs,
        accumulate=collect,
        finish=partial(_finish, names, by_label),
    )


def pooled(
    tokens: Float[Array, "b n d"], window: tuple[int, int, int]
) -> Float[Array, "b features"]:
    """Mean over all tokens, and deviation over time averaged over places: motion is change."""
    by_place = tokens.reshape(tokens.shape[0], *window, -1)
    change = jnp.mean(jnp.std(by_place, axis=1), axis=(1, 2))
    return jnp.concatenate([jnp.mean(tokens, axis=1), change], axis=-1)


def fitted(features: Float[np.ndarray, "n features"], labels: Int[np.ndarray, " n"]) -> Any:
    """A logistic regression on standardised features (a scikit-learn pipeline)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    return classifier.fit(features, labels)


def _finish(
    names: Sequence[str], by_label: bool, total: Mapping[int, Mapping], variables: Variables
) -> dict[str, float]:
    found = columns(total)
    labels, held_out = found["label"], found["held_out"].astype(bool)
    tested = labels[held_out]

    def right(features: Float[np.ndarray, "n features"]) -> Any:
        classifier = fitted(features[~held_out], labels[~held_out])
        return classifier.predict(features[held_out]) == tested

    trained = right(found["features"])
    results = {"accuracy": trained.mean(), "chance": 1 / len(names)}
    if "fresh" in found:
        results["fresh"] = right(found["fresh"]).mean()
    each = {name: trained[tested == n].mean() for n, name in enumerate(names)} if by_label else {}
    return {**results, **each}
