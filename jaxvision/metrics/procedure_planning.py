"""What procedure planning is judged by: SR, mAcc, mIoU, and how well samples cover the truth.

Plans are arrays of action ids [windows, steps]. Host code in float64; percentages where it says so.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int


def correct_steps(plans: Int[np.ndarray, "n t"], truth: Int[np.ndarray, "n t"]) -> np.ndarray:
    """Whether each step is right, [n, t]."""
    return np.asarray(plans) == np.asarray(truth)


def set_ious(plans: Int[np.ndarray, "n t"], truth: Int[np.ndarray, "n t"]) -> np.ndarray:
    """IoU of the set of predicted ids and the set of true ids (duplicates collapse), per plan."""
    return np.array([_iou(set(p), set(y)) for p, y in zip(plans, truth, strict=True)])


def _iou(ours: set, true: set) -> float:
    return len(ours & true) / len(ours | true)


def pooled_iou(plans: Int[np.ndarray, "n t"], truth: Int[np.ndarray, "n t"]) -> float:
    """IoU of all ids pooled into two sets, in percent: it depends on how many plans are pooled.

    Earlier papers report a pooled mIoU, so theirs does not compare with `mIoU`.
    """
    return 100 * _iou(set(np.ravel(plans)), set(np.ravel(truth)))


def planning_metrics(
    plans: Int[np.ndarray, "n t"], truth: Int[np.ndarray, "n t"]
) -> dict[str, float]:
    """The paper's metrics in percent.

    SR: all steps right, in order.  mAcc: steps right.  mIoU: mean of `set_ious`.
    first_action, last_action: accuracy of that step.
    """
    right = correct_steps(plans, truth)
    return {
        "SR": 100 * float(np.mean(right.all(axis=1))),
        "mAcc": 100 * float(np.mean(right)),
        "mIoU": 100 * float(np.mean(set_ious(plans, truth))),
        "first_action": 100 * float(np.mean(right[:, 0])),
        "last_action": 100 * float(np.mean(right[:, -1])),
    }


def top_k_accuracy(
    scores: Float[np.ndarray, "n t a"], truth: Int[np.ndarray, "n t"], k: int
) -> float:
    """Share of steps whose true action is among the `k` best scored, in percent."""
    best = np.argsort(-np.asarray(scores), axis=-1, kind="stable")[..., :k]
    return 100 * float(np.mean(np.any(best == np.asarray(truth)[..., None], axis=-1)))


def uncertainty(
    truth: Int[np.ndarray, "n t"], samples: Int[np.ndarray, "n s t"], actions: int
) -> dict[str, np.ndarray]:
    """How the sampled plans of each window cover the plans that would be right, per window.

    The references of a window are all true plans of the split (duplicates kept, its own included)
    that share its first and last action.
    nll, kl: between softmax(10 x frequency) of actions per step, mean over steps; not finite -> 0.
    mode_precision: share of samples that equal a reference.  mode_recall: share of references
    (duplicates counted) that were sampled.  distinct_references: how many differ.
    """
    truth, samples = np.asarray(truth), np.asarray(samples)
    windows, count, steps = samples.shape
    codes = plan_codes(np.concatenate([truth, samples.reshape(-1, steps)]), actions)
    truth_codes, sample_codes = codes[:windows], codes[windows:].reshape(windows, count)
    by_ends: dict[tuple[int, int], list[int]] = {}
    for number, plan in enumerate(truth):
        by_ends.setdefault((int(plan[0]), int(plan[-1])), []).append(number)
    targets = {ends: _sharpened(truth[members], actions) for ends, members in by_ends.items()}
    rows = []
    for number, plan in enumerate(truth):
        ends = (int(plan[0]), int(plan[-1]))
        references = truth_codes[by_ends[ends]]
        log_p = targets[ends]
        log_q = _sharpened(samples[number], actions)
        p = np.exp(log_p)
        rows.append(
            (
                _finite(-np.sum(p * log_q) / steps),
                _finite(np.sum(p * (log_p - log_q)) / steps),
                np.mean(np.isin(sample_codes[number], references)),
                np.mean(np.isin(references, sample_codes[number])),
                len(np.unique(references)),
            )
        )
    names = ("nll", "kl", "mode_precision", "mode_recall", "distinct_references")
    return dict(zip(names, np.array(rows, np.float64).T, strict=True))


def uncertainty_summary(per_window: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Means over windows, as reported: NLL and KL as they are, precision and recall in percent."""
    mean = {name: float(np.mean(values)) for name, values in per_window.items()}
    return {
        "NLL": mean["nll"],
        "KL": mean["kl"],
        "ModePrec": 100 * mean["mode_precision"],
        "ModeRec": 100 * mean["mode_recall"],
        "references": mean["distinct_references"],
    }


def step_frequencies(plans: Int[np.ndarray, "n t"], actions: int) -> Float[np.ndarray, "t a"]:
    """How often each action stands at each step."""
    plans = np.asarray(plans)
    counts = [np.bincount(plans[:, step], minlength=actions) for step in range(plans.shape[1])]
    return np.stack(counts) / len(plans)


def plan_codes(plans: Int[np.ndarray, "n t"], actions: int) -> Int[np.ndarray, " n"]:
    """One integer per plan, equal where all steps are."""
    codes, bound = np.zeros(len(plans), np.int64), 1
    for step in range(plans.shape[1]):
        if bound > 2**62 // actions:
            distinct, codes = np.unique(codes, return_inverse=True)
            bound = len(distinct)
        codes, bound = codes * actions + plans[:, step], bound * actions
    return codes


def _sharpened(plans: np.ndarray, actions: int) -> np.ndarray:
    """log softmax of 10 x the frequency of each action, per step."""
    scaled = 10 * step_frequencies(plans, actions)
    scaled = scaled - scaled.max(axis=-1, keepdims=True)
    return scaled - np.log(np.sum(np.exp(scaled), axis=-1, keepdims=True))


def _finite(value: float) -> float:
    return float(value) if np.isfinite(value) else 0.0
