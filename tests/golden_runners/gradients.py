"""Outputs about gradients and parameters, by official names."""

from collections.abc import Iterable, Mapping

import numpy as np

from jaxvision.weights import Entry, to_state_dict


def gradient_outputs(
    names: Iterable[str],
    gradients: Mapping,
    entries: Iterable[Entry],
    inputs: Mapping[str, np.ndarray] | None = None,
    suffix: str = "",
) -> dict[str, np.ndarray]:
    """Answers to every `grad<suffix>/NAME`, `grad_l2<suffix>/NAME` and `grad_norm<suffix>` asked.

    gradients: a tree shaped like the variables.  inputs: gradients by input name.
    """
    official = dict(to_state_dict(gradients, entries)) | dict(inputs or {})
    answers = {}
    for name in names:
        kind, _, entry = name.partition("/")
        if kind == f"grad{suffix}":
            answers[name] = official[entry]
        elif kind == f"grad_l2{suffix}":
            answers[name] = np.linalg.norm(official[entry].astype(np.float64))
        elif name == f"grad_norm{suffix}":
            squares = (np.sum(np.square(g.astype(np.float64))) for g in official.values())
            answers[name] = np.sqrt(sum(squares))
    return answers
