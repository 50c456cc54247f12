"""How PDPP is judged: plans against the truth, and many samples against all that would be right."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxvision.data.procedures import Windows
from jaxvision.data.source import Source
from jaxvision.methods.pdpp.baselines import random_plans, retrieved_plans
from jaxvision.metrics import procedure_planning as metrics
from jaxvision.training.task import BatchSpecs, Evaluation, Variables

Outputs = Callable[..., Mapping[str, Any]]


def collect(total: Any, outputs: Mapping[str, np.ndarray], index: np.ndarray, bucket: str) -> Any:
    """Every record's answers by its index: the result does not depend on how they were batched."""
    total = total if total is not None else {}
    for row, number in enumerate(index):
        total[int(number)] = {name: value[row] for name, value in outputs.items()}
    return total


def columns(total: Mapping[int, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Collected answers as arrays, in the order of the records."""
    rows = [total[number] for number in sorted(total)]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def plan_evaluation(
    test: Windows,
    train: Windows | None,
    actions: int,
    specs: BatchSpecs,
    outputs: Outputs,
    size: int,
    seed: int,
) -> Evaluation:
    """SR, mAcc, mIoU, accuracy of the first and last action (percent) of one plan per window.

    task_accuracy: of the class the planner was given.  error: the mean weighted squared error of
    a plan.  With `train`, the same metrics of retrieved and random plans as `retrieval_*` and
    `random_*`.
    """

    def finish(total: Any, variables: Variables) -> dict[str, float]:
        found = columns(total)
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

    return Evaluation(Source(test, size), specs, outputs, collect, finish)


def uncertainty_evaluation(
    test: Windows, actions: int, specs: BatchSpecs, outputs: Outputs, size: int
) -> Evaluation:
    """NLL, KL, ModePrec, ModeRec (section 4.5) of many sampled plans per window."""

    def finish(total: Any, variables: Variables) -> dict[str, float]:
        found = columns(total)
        per_window = metrics.uncertainty(found["plan"], found["samples"], actions)
        return metrics.uncertainty_summary(per_window)

    return Evaluation(Source(test, size), specs, outputs, collect, finish)


def classifier_evaluation(
    test: Windows, specs: BatchSpecs, outputs: Outputs, size: int
) -> Evaluation:
    """Top-1 accuracy of the task, percent."""

    def finish(total: Any, variables: Variables) -> dict[str, float]:
        found = columns(total)
        return {"accuracy": 100 * float(np.mean(found["task"] == found["true_task"]))}

    return Evaluation(Source(test, size), specs, outputs, collect, finish)
