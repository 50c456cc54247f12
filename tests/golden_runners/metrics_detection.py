"""Golden runners of the nuScenes detection benchmark: on arrays, result files and tables."""

import tempfile
from pathlib import Path

import numpy as np

from golden_case import Case, runner
from golden_runners.metrics_segmentation import dataset
from jaxvision.data.lidar import nuscenes_results as results
from jaxvision.data.lidar.nuscenes import scenes_of
from jaxvision.data.lidar.nuscenes_frames import merge, read_frame
from jaxvision.data.lidar.nuscenes_tables import Tables
from jaxvision.methods.link.detection.nuscenes_benchmark import evaluate_file
from jaxvision.metrics import detection as metrics

# Of the one published setting.
FIXED = {
    "config_name": "detection_cvpr_2019",
    "tp_metrics": ["trans_err", "scale_err", "orient_err", "vel_err", "attr_err"],
    "dist_fcn": "center_distance",
    "max_boxes_per_sample": 500,
    "mean_ap_weight": 5,
}


def settings_of(config: dict) -> metrics.Settings:
    return metrics.Settings(
        classes=tuple(config["class_names"]),
        ranges=config["class_range"],
        distances=tuple(config["dist_ths"]),
        matched=config["dist_th_tp"],
        min_recall=config["min_recall"],
        min_precision=config["min_precision"],
    )


def answers_of(result: dict) -> dict:
    missing = np.isnan(result["label_tp_errors"])
    errors = np.where(missing, 0, result["label_tp_errors"])
    return result | {"label_tp_errors": errors, "label_tp_errors_nan": missing}


@runner(
    "metrics",
    "nuscenes.eval.detection.evaluate:DetectionEval.evaluate",
    fixed=FIXED,
    ignores={"attribute_names": "the inputs have their numbers"},
)
def detection(case: Case) -> dict:
    def boxes(kind: str) -> metrics.EvaluatedBoxes:
        rows = len(case.input(f"{kind}_sample"))
        columns = (*metrics.EvaluatedBoxes._fields[:5], "class", "attribute")
        read = [case.input(f"{kind}_{name}") for name in columns]
        if kind == "gt":
            return metrics.EvaluatedBoxes(*read, case.input("gt_num_pts"), np.zeros(rows))
        return metrics.EvaluatedBoxes(*read, np.full(rows, -1), case.input("pred_score"))

    settings, answers = settings_of(case.config), {}
    racks = metrics.BikeRacks(*(case.input(f"rack_{name}") for name in metrics.BikeRacks._fields))
    kept = {}
    for kind in ("gt", "pred"):
        found = boxes(kind)
        mask = np.ones(len(found.sample), bool)
        if case.config["apply_filters"]:
            mask = metrics.filter_boxes(found, case.input("ego_translation"), racks, settings)
        answers[f"{kind}_kept"], kept[kind] = mask, found.rows(mask)
    result = metrics.evaluate(kept["gt"], kept["pred"], settings)
    return answers | answers_of(result)


@runner("metrics", "nuscenes.eval.detection.evaluate:DetectionEval.main", fixed=FIXED)
def result_file(case: Case) -> dict:
    config, root = case.config, dataset(case)
    result = evaluate_file(
        Tables(root, config["version"]),
        scenes_of(config["eval_set"]),
        root / config["result_file"],
        settings_of(config),
    )
    return answers_of(result)


@runner("metrics", "det3d.datasets.nuscenes.nuscenes:NuScenesDataset.evaluation", fixed=FIXED)
def submission(case: Case) -> dict:
    config, tables = case.config, Tables(dataset(case), case.config["version"])
    entries, answers = {}, {}
    for n, token in enumerate(config["samples"]):
        sensor, ego = tables.poses(tables.key_frames[token])
        names = [config["labels"][label] for label in case.input(f"labels_{n}")]
        boxes, scores = case.input(f"boxes_{n}"), case.input(f"scores_{n}")
        entries[token] = results.world_entries(
            token, sensor, ego, boxes=boxes, names=names, scores=scores
        )
        for key in entries[token][0]:
            answers[f"{key}_{n}"] = np.array([entry[key] for entry in entries[token]])
        # Of the two quaternions of a rotation the case has either.
        found, wanted = answers[f"rotation_{n}"], case.expected(f"rotation_{n}")
        sign = np.sign(np.sum(found * wanted, axis=1, keepdims=True))
        answers[f"rotation_{n}"] = found * sign
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.json"
        results.write_results(path, entries)
        scenes = scenes_of(config["eval_set"])
        settings = metrics.Settings(classes=tuple(config["class_names"]))
        return answers | answers_of(evaluate_file(tables, scenes, path, settings))


@runner(
    "metrics",
    "det3d.datasets.nuscenes.nusc_common:_fill_trainval_infos + det3d.datasets.pipelines.loading:"
    "LoadPointCloudFromFile,LoadPointCloudAnnotations",
    fixed={"filter_zero": True},
    ignores={"samples.*.split": "a sample is found by its token"},
)
def sweeps(case: Case) -> dict:
    config, root = case.config, dataset(case)
    tables, answers = Tables(root, config["version"]), {}
    for n, sample in enumerate(config["samples"]):
        frame = read_frame(tables, sample["token"], config["nsweeps"])
        kept = frame.with_points_inside()
        read = [sweep.points(root) for sweep in frame.sweeps]
        transforms = [np.eye(4) if s.transform is None else s.transform for s in frame.sweeps]
        found = {
            "points": merge(frame.key_points(root), read),
            "boxes": np.nan_to_num(kept.boxes).astype(np.float32),
            "names": np.array(kept.names),
            "annotation_tokens": np.array(kept.annotations),
            "info_names": np.array(frame.names),
            "info_annotation_tokens": np.array(frame.annotations),
            "sweep_time_lag": np.array([sweep.lag for sweep in frame.sweeps]),
            "sweep_tokens": np.array([sweep.token for sweep in frame.sweeps]),
            "sweep_transform": np.stack(transforms),
            "ref_from_car": frame.sensor.inverse,
            "car_from_global": frame.ego.inverse,
            "timestamp": frame.timestamp,
        }
        for name, value in (("boxes", frame.boxes), ("velocity3", frame.velocities)):
            found[f"info_{name}"] = np.nan_to_num(value)
            answers[f"info_{name}_{n}_nan"] = np.isnan(value)
        answers |= {f"{name}_{n}": value for name, value in found.items()}
    return answers
