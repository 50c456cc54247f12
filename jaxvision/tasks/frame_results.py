"""AVA's frame mAP as numbers of an evaluation."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from jaxvision.errors import InputError
from jaxvision.metrics.action_frames import mean_average_precision

MOST_CLASSES = 24  # whose own results are reported


def frame_results(
    precisions: Float[np.ndarray, " k"], labels: Sequence[int], names: Sequence[str], frames: int
) -> dict[str, float]:
    """`map` and, where the classes are few, `ap_NAME` of each that has truth, in percent.

    precisions: of `labels` (ids from 1, whose names are `names[label - 1]`), NaN where a class has
    no truth.  frames: that were answered. InputError where no class has truth.
    """
    if np.isnan(precisions).all():
        raise InputError(
            f"none of {frames} key frames has a person with an action that counts: nothing to "
            "evaluate"
        )
    results = {"map": 100 * mean_average_precision(precisions)}
    if len(labels) <= MOST_CLASSES:
        results |= {
            f"ap_{names[label - 1]}": 100 * float(value)
            for label, value in zip(labels, precisions, strict=True)
            if not np.isnan(value)
        }
    return results
