"""Golden runners of the nuScenes detection benchmark on arrays."""

import numpy as np

from golden_case import Case, runner
from jaxvision.metrics import detection as metrics


def settings_of(config: dict) -> metrics.Settings:
    return metrics.Settings(
        tuple(config["class_names"]),
        config["class_range"],
        tuple(config["dist_ths"]),
        config["dist_th_tp"],
        config["min_recall"],
        config["min_precision"],
    )


def answers_of(result: dict) -> dict:
    missing = np.isnan(result["label_tp_errors"])
    errors = np.where(missing, 0, result["label_tp_errors"])
    return result | {"label_tp_errors": errors, "label_tp_errors_nan": missing}


@runner("metrics", "nuscenes.eval.detection.evaluate:DetectionEval.evaluate")
def detection(case: Case) -> dict:
    def boxes(kind: str) -> metrics.EvaluatedBoxes:
        rows = len(case.input(f"{kind}_sample"))
        columns = (*metrics.EvaluatedBoxes._fields[:5], "class", "attribute")
        read = [case.input(f"{kind}_{name}") for name in columns]
        if kind == "gt":
            return metrics.EvaluatedBoxes(*read, case.input("gt_num_pts"), np.zeros(rows))
        return metrics.EvaluatedBoxes(*read, np.full(rows, -1), case.input("pred_score"))

    settings, answers = settings_of(case.config), {}
    racks = metrics.Racks(*(case.input(f"rack_{name}") for name in metrics.Racks._fields))
    kept = {}
    for kind in ("gt", "pred"):
        found = boxes(kind)
        mask = np.ones(len(found.sample), bool)
        if case.config["apply_filters"]:
            mask = metrics.judged(found, case.input("ego_translation"), racks, settings)
        answers[f"{kind}_kept"], kept[kind] = mask, found.rows(mask)
    result = metrics.evaluate(kept["gt"], kept["pred"], settings)
    return answers | answers_of(result)
