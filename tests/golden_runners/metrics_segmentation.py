"""Golden runners of the segmentation benchmarks: IoU by each program's rule, and their files."""

from pathlib import Path

import numpy as np

from golden_case import Case, runner
from jaxvision.data.lidar import nuscenes
from jaxvision.data.lidar import semantic_kitti as kitti
from jaxvision.data.lidar.classes import Classes
from jaxvision.data.lidar.nuscenes_tables import Tables
from jaxvision.data.lidar.scan import Scan, read_integers
from jaxvision.metrics import segmentation as metrics


def dataset(case: Case) -> Path:
    """`datasets/NAME` beside the folder that holds the case's."""
    return case.path.parents[1] / case.config["dataset"]


def answers_of(confusion: np.ndarray, ignore) -> dict:
    link = metrics.link_iou(confusion, 0)
    return {
        **metrics.semantickitti_iou(confusion, ignore),
        "confusion": confusion,
        "link_iou": link["iou"],
        "link_miou": link["miou"],
    }


@runner("metrics", "auxiliary.np_ioueval:iouEval")
def iou_evaluation(case: Case) -> dict:
    classes = case.config["n_classes"]
    steps = sum(name.startswith("pred_") for name in case.input_names())
    confusion = sum(
        metrics.confusion_matrix(case.input(f"pred_{n}"), case.input(f"target_{n}"), classes)
        for n in range(steps)
    )
    return answers_of(confusion, case.config["ignore"])


@runner(
    "metrics",
    "evaluate_semantics.py",
    fixed={"split": "valid"},
    ignores={"learning_map_inv": "nothing is written here; LinK's class tables have it"},
)
def semantickitti_files(case: Case) -> dict:
    config = case.config
    by_class: dict[int, list[int]] = {}
    for raw, number in config["learning_map"].items():
        by_class.setdefault(number, []).append(int(raw))
    classes = Classes(
        tuple(config["class_names"]),
        tuple(tuple(by_class[n]) for n in range(len(by_class))),
        359,
    )
    scans = kitti.SemanticKitti.open(dataset(case), config["sequences"])
    confusion = 0
    for index in range(len(scans)):
        scan = scans[index]
        sequence, frame = scans.frames[index]
        stored = read_integers(
            dataset(case) / f"sequences/{sequence}/predictions/{frame}.label",
            "<u4",
            len(scan.points),
        )
        found, truth = (
            classes.train_ids(ids[: config["limit"]], "ignored")
            for ids in (kitti.semantic_ids(stored), scan.labels)
        )
        confusion = confusion + metrics.confusion_matrix(found, truth, len(classes))
    return answers_of(confusion, config["ignore"])


@runner("metrics", "laserscan.py:SemLaserScan + generate_sequential.py:parse_poses")
def semantickitti_reader(case: Case) -> dict:
    from jaxvision.data.lidar.classes import SEMANTIC_KITTI

    root, answers = dataset(case), {}
    for folder in sorted((root / "sequences").iterdir()):
        answers[f"calib_Tr_{folder.name}"] = kitti.read_calibration(folder / "calib.txt")["Tr"]
        answers[f"poses_{folder.name}"] = kitti.lidar_poses(folder)
        scans = kitti.SemanticKitti.open(root, [int(folder.name)])
        for index, (sequence, frame) in enumerate(scans.frames):
            scan: Scan = scans[index]
            file = root / f"sequences/{sequence}/labels/{frame}.label"
            stored = read_integers(file, "<u4", len(scan.points))
            answers |= {
                f"points_{sequence}_{frame}": scan.points,
                f"semantic_{sequence}_{frame}": scan.labels,
                f"instance_{sequence}_{frame}": (stored >> 16).astype(np.int32),
                f"label_{sequence}_{frame}": SEMANTIC_KITTI.train_ids(scan.labels, "ignored"),
            }
    return answers


@runner(
    "metrics",
    "nuscenes.eval.lidarseg.evaluate:LidarSegEval.evaluate",
    fixed={"ignore_index": 0},
)
def lidarseg(case: Case) -> dict:
    config, root = case.config, dataset(case)
    number = {name: n for n, name in enumerate(config["class_names"])}
    class_of = {name: number[c] for name, c in config["category_to_class"].items()}
    categories = Tables(root, config["version"]).table("category").values()
    rows = {row["index"]: row["name"] for row in categories}
    table = np.array([class_of.get(rows[index], 0) for index in sorted(rows)], np.int32)
    scans = nuscenes.Lidarseg.open(root, config["version"], nuscenes.scenes_of(config["eval_set"]))
    place = {token: index for index, (token, _, _) in enumerate(scans.frames)}
    assert set(place) == set(config["sample_data_tokens"])
    confusion, answers = 0, {}
    for n, token in enumerate(config["sample_data_tokens"]):
        truth = table[scans[place[token]].labels]
        answers[f"labels16_{n}"] = truth
        found = metrics.confusion_matrix(case.input(f"pred_{n}"), truth, len(number))
        confusion = confusion + found
    result = metrics.nuscenes_iou(confusion)
    missing = np.isnan(result["iou_per_class"])
    return (
        answers
        | result
        | {
            "iou_per_class": np.where(missing, 0, result["iou_per_class"]),
            "iou_per_class_nan": missing,
        }
    )
