"""CrossTask, COIN and NIV in their owners' layouts, and a plain layout for one's own data."""

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxvision.data.arrays import read_arrays
from jaxvision.data.procedures import Procedures, Video, check_video
from jaxvision.errors import InputError, reading
from jaxvision.stores.stored_path import is_there
from jaxvision.text_files import number, read_json, read_lines, read_text

# CrossTask's primary tasks in the order of their published ids 0..17.
CROSSTASK_TASKS = (
    "23521", "59684", "71781", "113766", "105222", "94276", "53193", "105253", "44047", "76400",
    "16815", "95603", "109972", "44789", "40567", "77721", "87706", "91515",
)  # fmt: skip
CROSSTASK_ACTIONS, COIN_TASKS, COIN_ACTIONS, NIV_ACTIONS = 105, 180, 778, 48
NIV_ARRAYS = ("num_steps", "steps_ids", "steps_starts", "steps_ends")
NIV_TASKS = ("changing_tire", "coffee", "cpr", "jump_car", "repot")
FEATURES = "frames_features"
PLAIN_FILE = "labels.json"
# Of tasks and of actions, by id.
Names = tuple[Sequence[str], Sequence[str]]


# Entries of the annotation files of each layout; ids are texts in some releases.
CROSSTASK_ENTRY = {"vid": str, "task": int | str}
COIN_STEP = {"id": int | str, "segment": (float,) * 2, "label?": str}
COIN_ENTRY = {str: {"recipe_type": int | str, "class": str, "annotation": [COIN_STEP]}}
NIV_ENTRY = {"feature": str, "task_id": int | str}
PLAIN_ENTRY = {"feature": str, "task": str, "steps": [(str, float, float)]}
PLAIN_LABELS = {"tasks": [str], "actions": [str]}


def frames_of(path: Path, arrays: Mapping[str, Any] | None = None) -> np.ndarray:
    """The per-second features of a file: its `frames_features`, or the one array it is."""
    arrays = read_arrays(path) if arrays is None else arrays
    found = arrays.get(FEATURES, arrays.get(""))
    if found is None:
        raise InputError(f"{path}: no {FEATURES!r} among {', '.join(sorted(arrays))}")
    features = np.asarray(found)
    if not np.issubdtype(features.dtype, np.number):
        raise InputError(f"{path}: features of type {features.dtype}, expected numbers")
    return features.astype(np.float32)


def crosstask(root: Path, split: str, channels: int | None, raw: bool = False) -> Procedures:
    """CrossTask. raw: the dataset's own 3200-wide features instead of S3D's.

    A video any of whose actions starts beyond its features is dropped, as published.
    """
    release = root / "crosstask_release"
    ids, names = _crosstask_actions(root), crosstask_names(root)
    dropped: Counter[str] = Counter()

    def videos() -> Iterator[Video]:
        for entry in read_json(release / f"{split}_list.json", [CROSSTASK_ENTRY]):
            vid, task = entry["vid"], str(entry["task"])
            if task not in CROSSTASK_TASKS:
                dropped["not a primary task"] += 1
                continue
            folder, name = (
                ("crosstask_features", vid) if raw else ("processed_data", f"{task}_{vid}")
            )
            path = root / folder / f"{name}.npy"
            if not is_there(path):
                dropped["no feature file"] += 1
                continue
            annotation = release / "annotations" / f"{task}_{vid}.csv"
            steps = [
                (_known(ids, f"{task}_{int(step)}", annotation), start, end)
                for step, start, end in _rows(annotation)
            ]
            features = frames_of(path)
            if any(start >= len(features) for _, start, _ in steps):
                dropped["an action starts beyond the features"] += 1
                continue
            video = Video(vid, CROSSTASK_TASKS.index(task), steps, features)
            yield check_video(video, channels, len(CROSSTASK_TASKS), CROSSTASK_ACTIONS, str(path))

    return _split(videos(), names, dropped, f"CrossTask {split} in {root}")


def _crosstask_actions(root: Path) -> Mapping[str, int]:
    candidates = [root / "actions_one_hot.npy", root / "crosstask_release" / "actions_one_hot.npy"]
    path = next((p for p in candidates if p.is_file()), candidates[0])
    with reading(path, "action ids"):
        ids = {str(key): int(np.asarray(value)) for key, value in read_arrays(path).items()}
    for key, action in ids.items():
        if not 0 <= action < CROSSTASK_ACTIONS:
            raise InputError(
                f"{path}: {key} has action id {action}, expected 0 to {CROSSTASK_ACTIONS - 1}"
            )
    return ids


def crosstask_names(root: Path) -> Names:
    """Titles of tasks and texts of actions, as far as `tasks_primary.txt` tells them."""
    path, ids = root / "crosstask_release" / "tasks_primary.txt", _crosstask_actions(root)
    titles = dict.fromkeys(CROSSTASK_TASKS, "")
    actions = [f"action {number}" for number in range(CROSSTASK_ACTIONS)]
    blocks = read_text(path).split("\n\n") if path.is_file() else []
    for block in blocks:
        lines = block.strip().splitlines()
        if len(lines) < 5 or lines[0].strip() not in titles:
            continue
        task = lines[0].strip()
        titles[task] = lines[1].strip()
        for step, text in enumerate(lines[4].split(","), 1):
            if f"{task}_{step}" in ids:
                actions[ids[f"{task}_{step}"]] = text.strip()
    return [title or task for task, title in titles.items()], actions


def _rows(path: Path) -> Iterator[tuple[float, float, float]]:
    """(step, start second, end second) of every line."""
    lines = read_lines(path)
    with reading(path, "annotation"):
        rows = list(csv.reader(lines))
    for place, row in enumerate(rows, 1):
        numbers = [value for value in map(number, row) if value is not None]
        if row and (len(row) != 3 or len(numbers) != 3):
            raise InputError(f"{path}:{place}: expected step,start,end, got {row}")
        if row:
            step, start, end = numbers
            yield step, start, end


def _known(ids: Mapping[str, int], key: str, source: Path) -> int:
    if key not in ids:
        raise InputError(f"{source}: step {key!r} has no id in actions_one_hot.npy")
    return ids[key]


COIN_FILES = {"train": "coin_train_70.json", "test": "coin_test_30.json"}


def coin_names(root: Path) -> Names:
    """What the lists of both splits, as far as they are there, call tasks and actions."""
    tasks = {number: f"task {number}" for number in range(COIN_TASKS)}
    actions = {number: f"action {number}" for number in range(COIN_ACTIONS)}
    lists = [root / file for file in COIN_FILES.values()]
    for path in [path for path in lists if is_there(path)] or lists:
        with reading(path, "procedures"):
            for entry in read_json(path, [COIN_ENTRY]):
                for about in entry.values():
                    tasks[int(about["recipe_type"])] = about["class"]
                    for step in about["annotation"]:
                        number = int(step["id"]) - 1
                        actions[number] = step.get("label", actions.get(number, ""))
    return (
        [tasks[number] for number in range(COIN_TASKS)],
        [actions[number] for number in range(COIN_ACTIONS)],
    )


def coin(root: Path, split: str, channels: int | None) -> Procedures:
    """COIN. A video that ends after its features do is dropped, as published."""
    path, dropped = root / COIN_FILES[split], Counter[str]()

    def videos() -> Iterator[Video]:
        for entry in read_json(path, [COIN_ENTRY]):
            for vid, about in entry.items():
                recipe = int(about["recipe_type"])
                file = root / "full_npy" / f"{about['class']}_{recipe}_{vid}.npy"
                if not is_there(file):
                    dropped["no feature file"] += 1
                    continue
                steps = []
                for step in about["annotation"]:
                    start, end = map(float, step["segment"])
                    steps.append((int(step["id"]) - 1, start, end))
                features = frames_of(file)
                if steps and np.ceil(steps[-1][2]) > len(features):
                    dropped["ends after its features"] += 1
                    continue
                video = Video(vid, recipe, steps, features)
                yield check_video(video, channels, COIN_TASKS, COIN_ACTIONS, str(file))

    return _split(videos(), coin_names(root), dropped, f"COIN {split} in {root}")


def niv(root: Path, split: str, channels: int | None) -> Procedures:
    """NIV. Split files hold the authors' absolute paths: files are looked for under `root`."""
    path = root / {"train": "train70.json", "test": "test30.json"}[split]
    dropped: Counter[str] = Counter()

    def videos() -> Iterator[Video]:
        for entry in read_json(path, [NIV_ENTRY]):
            name = Path(entry["feature"]).name
            candidates = [Path(entry["feature"]), root / name, root / "processed_data" / name]
            file = next((p for p in candidates if is_there(p)), None)
            if file is None:
                dropped["no feature file"] += 1
                continue
            arrays = read_arrays(file)
            lacking = [key for key in NIV_ARRAYS if key not in arrays]
            if lacking:
                raise InputError(f"{file}: no {lacking[0]!r} in it")
            with reading(file, "steps"):
                count, *columns = (arrays[key] for key in NIV_ARRAYS)
                rows = zip(*columns, strict=True)
                steps = [(int(a), float(s), float(e)) for a, s, e in rows][: int(count)]
            video = Video(file.stem, int(entry["task_id"]), steps, frames_of(file, arrays))
            yield check_video(video, channels, len(NIV_TASKS), NIV_ACTIONS, str(file))

    return _split(videos(), niv_names(root), dropped, f"NIV {split} in {root}")


def niv_names(root: Path) -> Names:
    """NIV's files call no action by name."""
    return NIV_TASKS, [f"action {number}" for number in range(NIV_ACTIONS)]


def plain(root: Path, split: str, channels: int | None) -> Procedures:
    """One's own data: `labels.json` {"tasks": [names], "actions": [names]} and `<split>.json`, a
    list of {"feature": file under root, "task": name, "steps": [[action name, start, end], ...]}.
    """
    path = root / f"{split}.json"
    tasks, actions = plain_names(root)

    def place(name: str, names: Sequence[str], what: str) -> int:
        if name not in names:
            raise InputError(f"{path}: {what} {name!r} is not in {PLAIN_FILE}")
        return names.index(name)

    def videos() -> Iterator[Video]:
        for entry in read_json(path, [PLAIN_ENTRY]):
            file = root / entry["feature"]
            steps = [
                (place(action, actions, "action"), float(start), float(end))
                for action, start, end in entry["steps"]
            ]
            video = Video(
                str(entry["feature"]), place(entry["task"], tasks, "task"), steps, frames_of(file)
            )
            yield check_video(video, channels, len(tasks), len(actions), str(file))

    return _split(videos(), (tasks, actions), Counter(), str(path))


def plain_names(root: Path) -> Names:
    """InputError for a name that comes twice."""
    path = root / PLAIN_FILE
    labels = read_json(path, PLAIN_LABELS)
    for what in PLAIN_LABELS:
        repeated = [name for name, count in Counter(labels[what]).items() if count > 1]
        if repeated:
            raise InputError(f"{path}: {min(repeated)!r} comes twice among {what}")
    return labels["tasks"], labels["actions"]


def _split(
    entries: Iterator[Video], names: Names, dropped: Counter[str], source: str
) -> Procedures:
    with reading(source, "procedures"):
        videos = list(entries)
    if not videos:
        why = "; ".join(f"{count} dropped: {reason}" for reason, count in dropped.items())
        raise InputError(f"{source}: an empty split{f' ({why})' if why else ''}")
    return Procedures(videos, *names, dropped)


def crosstask_raw(root: Path, split: str, channels: int | None) -> Procedures:
    """CrossTask with the dataset's own features."""
    return crosstask(root, split, channels, raw=True)


# Readers by `config.data.name`, of a split and of names alone, and the horizons each dataset's
# protocol has.
NAMES: dict[str, Callable[[Path], Names]] = {
    "crosstask_how": crosstask_names,
    "crosstask_base": crosstask_names,
    "coin": coin_names,
    "niv": niv_names,
    "plain": plain_names,
}
READERS: dict[str, Callable[[Path, str, int | None], Procedures]] = {
    "crosstask_how": crosstask,
    "crosstask_base": crosstask_raw,
    "coin": coin,
    "niv": niv,
    "plain": plain,
}
HORIZONS = {
    "crosstask_how": (3, 4, 5, 6),
    "crosstask_base": (3, 4, 5, 6),
    "coin": (3, 4),
    "niv": (3, 4),
}
