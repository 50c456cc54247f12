"""PDPP's protocols: plans against the truth, and many samples against all that would be right.

Plans are compared with what needs no network: random ones, and that of the most similar training
window.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jaxvision.data.procedures import Windows
from jaxvision.data.source import Source
from jaxvision.metrics import procedure_planning as metrics
from jaxvision.tasks.record_rows import Columns, collect, columns
from jaxvision.training.task import BatchSpecs, Evaluation

Outputs = Callable[..., Mapping[str, Any]]
CHUNK = 1024  # windows compared at a time


def _evaluation(
    test: Windows,
    outputs: Outputs,
    specs: BatchSpecs,
    size: int,
    finish: Callable[[Columns], dict[str, float]],
) -> Evaluation:
    """finish: results of all answers."""
    return Evaluation(
        source=Source(test, size),
        batch_specs=specs,
        outputs=outputs,
        accumulate=collect,
        finish=lambda total, _: finish(columns(total)),
    )


def plan_evaluation(
    test: Windows,
    train: Windows | None,
    outputs: Outputs,
    specs: BatchSpecs,
    *,
    actions: int,
    size: int,
    seed: int,
) -> Evaluation:
    """SR, mAcc, mIoU, accuracy of the first and last action (percent) of one plan per window.

    task_accuracy: of the class the planner was given.  error: the mean weighted squared error of
    a plan.  With `train`, the same metrics of retrieved and random plans as `retrieval_*` and
    `random_*`.
    """

    def finish(found: Columns) -> dict[str, float]:
        plans, truth = found["actions"], found["plan"]
        results = metrics.planning_metrics(plans, truth)
        results["task_accuracy"] = 100 * float(np.mean(found["task"] == found["true_task"]))
        results["error"] = float(np.mean(found["error"], dtype=np.float64))
        if train is not None:
            windows, horizon = truth.shape
            guessed = {
                "retrieval": retrieved_plans(train, test),
                "random": random_plans(windows, horizon, actions, seed),
            }
            for name, guess in guessed.items():
                compared = metrics.planning_metrics(guess, truth)
                results |= {f"{name}_{key}": compared[key] for key in ("SR", "mAcc", "mIoU")}
        return results

    return _evaluation(test, outputs, specs, size, finish)


def uncertainty_evaluation(
    test: Windows, outputs: Outputs, specs: BatchSpecs, *, actions: int, size: int
) -> Evaluation:
    """NLL, KL, ModePrec, ModeRec (section 4.5) of many sampled plans per window."""

    def finish(found: Columns) -> dict[str, float]:
        per_window = metrics.uncertainty(found["plan"], found["samples"], actions)
        return metrics.uncertainty_summary(per_window)

    return _evaluation(test, outputs, specs, size, finish)


def classifier_evaluation(
    test: Windows, outputs: Outputs, specs: BatchSpecs, size: int
) -> Evaluation:
    """Top-1 accuracy of the task, percent."""

    def finish(found: Columns) -> dict[str, float]:
        return {"accuracy": 100 * float(np.mean(found["task"] == found["true_task"]))}

    return _evaluation(test, outputs, specs, size, finish)


def random_plans(count: int, horizon: int, actions: int, seed: int) -> Int[np.ndarray, "n t"]:
    """Every action uniform over all of them."""
    return np.random.default_rng((seed, 7)).integers(actions, size=(count, horizon))


def retrieved_plans(train: Windows, test: Windows) -> Int[np.ndarray, "n t"]:
    """The plan of the training window whose start and goal are nearest (Euclidean)."""
    best = np.full(len(test), np.inf)
    nearest = np.zeros(len(test), np.int64)
    for first in range(0, len(train), CHUNK):
        part = slice(first, first + CHUNK)
        distance = squared_distances(test.start, train.start[part])
        distance += squared_distances(test.goal, train.goal[part])
        rows = np.argmin(distance, axis=1)
        found = distance[np.arange(len(test)), rows]
        closer = found < best
        best[closer], nearest[closer] = found[closer], first + rows[closer]
    return train.plan[nearest]


def squared_distances(
    a: Float[np.ndarray, "n o"], b: Float[np.ndarray, "m o"]
) -> Float[np.ndarray, "n m"]:
    squares = np.sum(np.square(a), axis=1)[:, None] + np.sum(np.square(b), axis=1)
    return squares - 2 * a @ b.T
