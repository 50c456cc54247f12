"""Golden runners of the action benchmarks: AVA's key frames, tubes of UCF101-24 and JHMDB."""

import tempfile
from pathlib import Path

import numpy as np

from golden_case import Case, runner
from golden_runners.metrics_segmentation import dataset
from jaxvision.data.actions import act_files, ava_files
from jaxvision.metrics import action_frames as frames_metric
from jaxvision.metrics import action_tubes as tubes_metric
from jaxvision.metrics.tube_linking import Linking

RULES = frames_metric.Rules


def scores(
    files: dict[str, Path], truth: str, labels, rules: RULES, excluded: bool
) -> tuple[np.ndarray, float]:
    """(average precision by label, its mean) of the files of a case."""
    known = ava_files.read_label_map(files["labelmap"])
    assert set(known) == set(labels), "the case's ids are those of its label map"
    frames = ava_files.KeyFrames()
    rows, mentioned, _ = ava_files.read_truth(files[truth], frames, known)
    found, _ = ava_files.read_detections(files["detections"], frames, known)
    left_out = ava_files.read_excluded(files["excluded"], frames) if excluded else set()
    precisions = frames_metric.average_precisions(
        frames_metric.FrameBoxes(*rows),
        frames_metric.FrameBoxes(*found),
        labels,
        rules=rules,
        excluded=left_out,
        mentioned=mentioned,
    )
    return precisions, frames_metric.mean_average_precision(precisions)


@runner("metrics", "Evaluation/get_ava_performance.py:run_evaluation")
def ava_files_end_to_end(case: Case) -> dict:
    config = case.config
    files = {
        kind: dataset(case) / config["folder"] / name for kind, name in config["files"].items()
    }
    labels, iou, capacity = config["class_ids"], config["iou"], config["capacity"]
    names = ava_files.read_label_map(files["labelmap"])
    assert [names[label] for label in labels] == config["class_names"]
    capped = RULES(iou=iou, capacity=capacity)
    newest = RULES(iou=iou, capacity=capacity, unmentioned="ignored")
    answers: dict = {}
    for suffix, truth, rules, excluded in (
        ("", "groundtruth", capped, True),
        ("_empty_rows", "groundtruth_with_empty", newest, False),
        ("_uncapped", "groundtruth", RULES(iou=iou), True),
    ):
        precisions, mean = scores(files, truth, labels, rules, excluded)
        answers[f"ap{suffix}"] = np.nan_to_num(precisions)
        answers[f"ap{suffix}_nan"] = np.isnan(precisions)
        answers[f"map{suffix}"] = np.float64(mean)
    return answers


def written(case: Case, folder: Path, **inputs: str) -> dict[str, Path]:
    """Inputs that are texts, as files."""
    files = {kind: folder / kind for kind in inputs}
    for kind, name in inputs.items():
        files[kind].write_bytes(case.input(name).tobytes())
    return files


@runner(
    "cycleacr",
    "alphaction/dataset/datasets/evaluation/ava/ava_eval.py:evaluate_predictions_on_ava",
)
def cycleacr_ava(case: Case) -> dict:
    labels = case.config["label_ids"]
    with tempfile.TemporaryDirectory() as folder:
        files = written(
            case,
            Path(folder),
            groundtruth="gt_csv",
            detections="det_csv",
            labelmap="labelmap_pbtxt",
            excluded="excluded_csv",
        )
        rules = RULES(iou=case.config["iou_threshold"])
        precisions, mean = scores(files, "groundtruth", labels, rules, True)
    by_id = np.full(max(labels), -1.0)
    by_id[np.array(labels) - 1] = np.where(np.isnan(precisions), -1, precisions)
    return {"ap": by_id, "mean_ap": np.float64(mean)}


@runner(
    "stmixer",
    "alphaction/dataset/datasets/evaluation/ava/ava_eval.py:do_ava_evaluation",
    fixed={"csv_decimals": 5},
)
def stmixer_ava(case: Case) -> dict:
    config, labels = case.config, case.config["class_ids"]
    key_frames = [(config["video_names"][v], float(s)) for v, s in case.input("keyframes").tolist()]
    boxes, scored = (
        [case.input(f"pred_{kind}_{n}") for n in range(len(key_frames))]
        for kind in ("boxes", "scores")
    )
    counts, classes = [len(b) for b in boxes], scored[0].shape[1]
    rows = ava_files.ActionRows(
        np.repeat(np.arange(len(counts)), np.array(counts) * classes),
        np.repeat(np.concatenate(boxes), classes, axis=0),
        np.tile(np.arange(classes) + 1, sum(counts)),
        np.concatenate(scored).reshape(-1),
    )
    with tempfile.TemporaryDirectory() as folder:
        files = written(
            case,
            Path(folder),
            groundtruth="groundtruth_csv",
            labelmap="labelmap_pbtxt",
            excluded="exclusions_csv",
        )
        files["detections"] = Path(folder) / "detections"
        ava_files.write_detections(files["detections"], key_frames, rows)
        lines = files["detections"].read_text().splitlines()
        rules = RULES(iou=config["iou_threshold"])
        precisions, mean = scores(files, "groundtruth", labels, rules, True)
    return {
        "mAP": np.float64(mean),
        "ap_per_class": np.nan_to_num(precisions),
        "num_csv_rows": np.int64(len(lines)),
    }


@runner(
    "metrics",
    "ACT.py:frameAP,BuildTubes,videoAP",
    fixed={"tube_nms": tubes_metric.TUBE_OVERLAP},
)
def act_evaluation(case: Case) -> dict:
    config = case.config
    truth = act_files.read_act_tubes(dataset(case) / config["gt_file"])
    videos, labels = truth.split(config["split"], "test"), len(truth.labels)
    index, values = case.input("tubelet_index"), case.input("tubelets")
    boxes = values[:, :-1].reshape(len(values), config["K"], 4)
    tubelets = tubes_metric.Tubelets(*index.T, boxes, values[:, -1])

    # 1. Frames.
    found = tubes_metric.frame_detections(tubelets, config["frame_nms"])
    tubes_of = [truth.tubes[video] for video in videos]
    frame_ap = 100 * np.stack(
        [
            tubes_metric.frame_average_precision(tubes_of, found, labels, threshold)
            for threshold in config["thresholds"]
        ]
    )
    columns = (found.video, found.frame, found.label, found.score)
    detections = np.concatenate([np.stack(columns, axis=1), found.box], axis=1)

    # 2. Tubes.
    settings = Linking(
        suppression=config["tubelet_nms"],
        kept=config["top_k"],
        overlap=config["link_iou"],
        score=config["min_score"],
        length=config["min_length"],
    )
    tubes = [
        tubes_metric.tubes_of_video(tubelets, number, labels, truth.frames[video], settings)
        for number, video in enumerate(videos)
    ]
    rows = [
        (video, label, tube)
        for video, by_label in enumerate(tubes)
        for label in range(labels)
        for tube in by_label[label]
    ]
    video_ap, over_thresholds = (
        100
        * np.stack(
            [
                tubes_metric.video_average_precision(tubes_of, tubes, labels, threshold)
                for threshold in thresholds
            ]
        )
        for thresholds in (config["thresholds"], tubes_metric.VIDEO_THRESHOLDS)
    )
    return {
        "frame_ap": frame_ap,
        "frame_map": frame_ap.mean(axis=1),
        "frame_detections": detections.astype(np.float32),
        "tube_index": np.array([(v, label, len(tube.rows)) for v, label, tube in rows]),
        "tube_score": np.array([tube.score for _, _, tube in rows]),
        "tube_boxes": np.concatenate([tube.rows for _, _, tube in rows]),
        "video_ap": video_ap,
        "video_map": video_ap.mean(axis=1),
        "video_ap_50_95": over_thresholds,
        "video_map_50_95": over_thresholds.mean(),
    }


@runner("metrics", "datasets/dataset/base_dataset.py:BaseDataset")
def act_reader(case: Case) -> dict:
    answers: dict = {}
    for name, file in case.config["files"].items():
        truth = act_files.read_act_tubes(dataset(case) / file)
        videos = sorted(truth.frames)
        rows = [
            [number, label, which, *row]
            for number, video in enumerate(videos)
            for label, tubes in sorted(truth.tubes[video].items())
            for which, tube in enumerate(tubes)
            for row in tube
        ]
        answers |= {
            f"{name}_videos": np.array(videos),
            f"{name}_labels": np.array(truth.labels),
            f"{name}_nframes": np.array([truth.frames[video] for video in videos]),
            f"{name}_resolution": np.array([truth.resolution[video] for video in videos]),
            f"{name}_gttubes": np.array(rows, np.float64),
        }
        for number in range(1, len(truth.test) + 1):
            for part in ("train", "test"):
                answers[f"{name}_{part}_{number}"] = np.array(truth.split(number, part))
    return answers
