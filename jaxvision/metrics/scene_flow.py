"""How far optical flow and scene flow are from the truth, as each publisher counts it.

Every measure is a sum and a count, so that frames, batches and hosts add up exactly.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

Sums = dict[str, tuple[Any, Any]]  # of each measure: (sum, how many)


def norm(x: Any) -> Any:
    """Length of vectors along the last axis, of NumPy or JAX arrays."""
    return (x * x).sum(-1) ** 0.5


def flow_2d_sums(flow: Any, truth: Any, valid: Any, margin: float = 0.0) -> Sums:
    """Of optical flow [..., 2] in pixels: `epe2d`, the end-point error; `acc2d_1px`, the share
    below one pixel; `outlier2d` (Fl), the share above 3 pixels and 5 % of the true length.

    valid: [...], which pixels count.  margin: added to the true length; CamLiFlow's training adds
    1e-5. Works on NumPy and JAX arrays. A prediction that is not a number counts nowhere, as in
    CamLiFlow's evaluations.
    """
    error = norm(flow - truth)
    with np.errstate(divide="ignore", invalid="ignore"):
        outlier = (error > 3) & (error / (norm(truth) + margin) > 0.05)
    return _sums(
        {"epe2d": error, "acc2d_1px": error < 1, "outlier2d": outlier}, valid & (error == error)
    )


def flow_3d_sums(flow: Any, truth: Any, valid: Any) -> Sums:
    """Of scene flow [..., 3] in metres: `epe3d`, `acc3d_5cm` and `acc3d_10cm`, the shares below 5
    and 10 centimetres."""
    error = norm(flow - truth)
    measures = {"epe3d": error, "acc3d_5cm": error < 0.05, "acc3d_10cm": error < 0.10}
    return _sums(measures, valid & (error == error))


def lidar_sums(flow: Any, truth: Any, kept: Any) -> Sums:
    """The LiDAR-only protocol: `epe3d`; `acc_strict`, below 5 cm or 5 %; `acc_relax`, below 10 cm
    or 10 %; `outlier`, above 30 cm or 10 %, all of the true length plus 1e-4."""
    error = norm(flow - truth)
    relative = error / (norm(truth) + 1e-4)
    return _sums(
        {
            "epe3d": error,
            "acc_strict": (error < 0.05) | (relative < 0.05),
            "acc_relax": (error < 0.1) | (relative < 0.1),
            "outlier": (error > 0.3) | (relative > 0.1),
        },
        kept & (error == error),
    )


def _sums(measures: Mapping[str, Any], counted: Any) -> Sums:
    where, count = counted.__array_namespace__().where, counted.sum()
    return {name: (where(counted, x, 0).sum(), count) for name, x in measures.items()}


def means(sums: Mapping[str, tuple[Any, Any]]) -> dict[str, float]:
    """Sum / count of each; 0 where nothing was counted."""
    return {name: float(total / max(count, 1)) for name, (total, count) in sums.items()}
