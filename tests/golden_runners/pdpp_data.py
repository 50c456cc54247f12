"""Golden runners of PDPP: its metrics and its dataset readers."""

import csv
import json
import tempfile
from pathlib import Path

import numpy as np

from golden_case import Case, runner
from jaxvision.data import procedure_files, procedures
from jaxvision.methods.pdpp import state
from jaxvision.metrics import procedure_planning as metrics


@runner("pdpp", "utils/accuracy.py:accuracy, utils/eval.py:validate, inference.py:test")
def planning(case: Case) -> dict:
    config = case.config
    layout = state.StateLayout(config["class_dim"], config["action_dim"], config["observation_dim"])
    outputs, truth = case.input("outputs"), case.input("labels")
    tasks, frames = case.input("tasks"), case.input("frames")
    assert truth.shape[1] == config["horizon"]
    scores = outputs[..., layout.action_part]
    target = np.asarray(state.one_hot(truth, layout.actions))
    rows = np.repeat(np.asarray(state.one_hot(tasks, layout.classes))[:, None], len(truth[0]), 1)

    def of(part: slice) -> dict:
        plans = scores[part].argmax(-1)
        found = metrics.planning_metrics(plans, truth[part])
        known = (rows[part], frames[part, 0], frames[part, -1])
        # The validation takes what the sampler gave, which is projected; a case's need not be.
        published = state.weighted_mse(outputs[part], state.state_of(target[part], *known), layout)
        return {
            "acc1": found["mAcc"],
            "acc5": metrics.top_k_accuracy(scores[part], truth[part], 5),
            "success_rate": found["SR"],
            "miou1": metrics.pooled_iou(plans, truth[part]),
            "miou2": found["mIoU"],
            "acc_first": found["first_action"],
            "acc_last": found["last_action"],
            "loss": published,
        }

    answers = of(slice(None))
    stops = np.cumsum(config["batch_splits"])
    parts = [of(slice(b - n, b)) for n, b in zip(config["batch_splits"], stops, strict=True)]
    for name in answers.copy():
        value = np.average([part[name] for part in parts], weights=config["batch_splits"])
        answers |= {f"val_{name}": value, f"test_{name}": value}
    return answers


@runner("pdpp", "uncertain.py:test")
def uncertainty(case: Case) -> dict:
    sizes = tuple(case.config[name] for name in ("num_items", "num_samples", "horizon"))
    assert case.input("samples").shape == sizes
    found = metrics.uncertainty(
        case.input("labels"), case.input("samples"), case.config["action_dim"]
    )
    answers = {name: np.mean(values) for name, values in found.items()}
    return answers | {f"per_sample_{name}": values for name, values in found.items()}


@runner(
    "pdpp",
    "dataloader/data_load_mlp.py:PlanningDataset",
    fixed={"window_frames": procedures.OBSERVATION_SECONDS},
)
def dataset(case: Case) -> dict:
    """Writes the dataset in its owners' layout, reads it, and cuts its windows."""
    config = case.config
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        features = {v["vid"]: case.input(f"features_{v['vid']}") for v in config["videos"]}
        assert all(len(features[v["vid"]]) == v["num_frames"] for v in config["videos"])
        WRITERS[config["dataset"]](root, case, features)
        name = {"crosstask": "crosstask_how"}.get(config["dataset"], config["dataset"].lower())
        read = procedure_files.READERS[name](root, config["split"], config["feature_channels"])
    names = [video.name for video in read.videos]
    assert names == config["video_names"]
    windows = procedures.cut_windows(read, config["horizon"], "golden case")
    frames = [
        np.stack(
            [procedures.start_observation(read.videos[v].features, second) for second in seconds]
            + [goal]
        )
        for v, seconds, goal in zip(
            windows.video, windows.seconds[..., 0], windows.goal, strict=True
        )
    ]
    np.testing.assert_array_equal(windows.start, np.stack(frames)[:, 0])
    rows = np.concatenate([windows.seconds, windows.plan[..., None]], axis=-1)
    return {
        "windows": rows,
        "frames": np.stack(frames),
        "labels": windows.plan,
        "tasks": windows.task,
        "video_index": windows.video,
    }


def save_archive(path: Path, **arrays) -> None:
    """An npz archive under whatever name, as the published features are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        np.savez(file, **arrays)


def write_crosstask(root: Path, case: Case, features: dict) -> None:
    config = case.config
    release = root / "crosstask_release"
    (release / "annotations").mkdir(parents=True)
    elsewhere = config.get("videos_in_test_list", [])
    lists = {"train": [], "test": []}
    ids = crosstask_ids(case)
    for video in config["videos"]:
        vid, task = video["vid"], video["task"]
        split = "test" if vid in elsewhere else config["split"]
        lists[split].append({"vid": vid, "task": task, "length": video["num_frames"]})
        with open(release / "annotations" / f"{task}_{vid}.csv", "w", newline="") as file:
            csv.writer(file).writerows(video["steps"])
        save_archive(root / "processed_data" / f"{task}_{vid}.npy", frames_features=features[vid])
    for split, entries in lists.items():
        (release / f"{split}_list.json").write_text(json.dumps(entries))
    np.save(root / "actions_one_hot.npy", ids)


def crosstask_ids(case: Case) -> dict[str, int]:
    """The table of the dataset's own file: the case gives it by its windows alone."""
    windows, owner = case.expected("windows"), case.expected("video_index")
    ids = {f"23521_{step}": step - 1 for step in range(1, 7)}
    for number, name in enumerate(case.config["video_names"]):
        video = next(v for v in case.config["videos"] if v["vid"] == name)
        first, *rest = windows[owner == number][..., 2]
        actions = [*first, *(plan[-1] for plan in rest)][-len(video["steps"]) :]
        for (step, _, _), action in zip(video["steps"], actions, strict=True):
            ids[f"{video['task']}_{step}"] = int(action)
    return ids


def write_coin(root: Path, case: Case, features: dict) -> None:
    config = case.config
    entries = []
    for video in config["videos"]:
        vid, about = video["vid"], {"recipe_type": video["recipe_type"], "class": video["class"]}
        about["annotation"] = [
            {"id": str(action), "segment": [start, end], "label": f"step {action}"}
            for action, start, end in video["steps"]
        ]
        entries.append({vid: about})
        name = f"{video['class']}_{video['recipe_type']}_{vid}.npy"
        save_archive(root / "full_npy" / name, frames_features=features[vid])
    file = {"train": "coin_train_70.json", "test": "coin_test_30.json"}[config["split"]]
    (root / file).write_text(json.dumps(entries))


def write_niv(root: Path, case: Case, features: dict) -> None:
    config = case.config
    entries = []
    for video in config["videos"]:
        ids, starts, ends = zip(*video["steps"], strict=True)
        entries.append(
            {"feature": f"/home/authors/niv/{video['vid']}.npy", "task_id": video["task_id"]}
        )
        save_archive(
            root / f"{video['vid']}.npy",
            frames_features=features[video["vid"]],
            num_steps=len(ids),
            steps_ids=ids,
            steps_starts=starts,
            steps_ends=ends,
        )
    file = {"train": "train70.json", "test": "test30.json"}[config["split"]]
    (root / file).write_text(json.dumps(entries))


WRITERS = {"crosstask": write_crosstask, "coin": write_coin, "NIV": write_niv}
