"""From a recipe's data to windows, batches and observations."""

import functools
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from jaxvision.data.arrays import read_arrays
from jaxvision.data.labels import naming
from jaxvision.data.procedure_files import HORIZONS, NAMES, PLAIN_FILE, READERS, frames_of
from jaxvision.data.procedure_generator import ProcedureWorld
from jaxvision.data.procedures import (
    OBSERVATION_SECONDS,
    Procedures,
    Windows,
    cut_windows,
    goal_observation,
    start_observation,
)
from jaxvision.errors import InputError, check_choice, nearest
from jaxvision.methods.pdpp.state import StateLayout
from jaxvision.stores.stored_path import path_to
from jaxvision.training.task import BatchSpecs

SPLITS = ("train", "test")
TASK, ACTION = "task: ", "action: "


class Labels(NamedTuple):
    """Names of tasks and actions, by id."""

    tasks: Sequence[str]
    actions: Sequence[str]

    def in_one_list(self) -> tuple[str, ...]:
        """How a run keeps them: every name with its kind before it."""
        return (*(f"{TASK}{name}" for name in self.tasks), *(f"{ACTION}{n}" for n in self.actions))

    @classmethod
    def of_list(cls, names: Sequence[str]) -> "Labels":
        kinds = ([n.removeprefix(k) for n in names if n.startswith(k)] for k in (TASK, ACTION))
        return cls(*kinds)


def layout_of(config: ConfigDict, trained: Labels | None = None) -> StateLayout:
    """The state a recipe's model has: its own counts, or those of the labels where 0: of `trained`,
    where it is known what the weights were trained on, else of the data."""
    model = config.model
    classes, actions = model.classes, model.actions
    if not (classes and actions):
        if trained is not None:
            counts = (len(trained.tasks), len(trained.actions))
        else:
            labels = labels_of(config)
            counts = (len(labels.tasks), len(labels.actions))
        classes, actions = classes or counts[0], actions or counts[1]
    return StateLayout(classes, actions, OBSERVATION_SECONDS * config.data.channels)


def labels_of(config: ConfigDict) -> Labels:
    """Names of tasks and actions, as the data have them; no video is read."""
    data = config.data
    if data.name == "generated":
        world = world_of(config)
        return Labels(world.task_names, world.action_names)
    root = root_of(config)
    return Labels(*NAMES[data.name](root))


def names_from(config: ConfigDict) -> str:
    """What `labels_of` has them from, for messages."""
    data = config.data
    file = f", {PLAIN_FILE}" if data.name == "plain" else ""
    return naming(data, "root", "name") + file


def root_of(config: ConfigDict) -> Path:
    """The folder of a data set. InputError where none is named, and for an unknown data set."""
    data = config.data
    if data.name not in READERS:
        raise InputError(f"data.name {data.name!r}{nearest(data.name, ('generated', *READERS))}")
    if not data.root:
        raise InputError(f"data.root is empty; expected the folder of {data.name}")
    return path_to(data.root)


def world_of(config: ConfigDict) -> ProcedureWorld:
    world = config.data.world.to_dict()
    return ProcedureWorld(channels=config.data.channels, **world)


def check_horizon(config: ConfigDict, levels: int) -> None:
    """InputError for a horizon that the network or the dataset's protocol does not have."""
    horizon, name = config.data.horizon, config.data.name
    known = HORIZONS.get(name)
    if known is not None and horizon not in known:
        raise InputError(
            f"data.horizon {horizon}: {name} has horizons {', '.join(map(str, known))}"
        )
    if horizon < max(levels, 2):
        raise InputError(
            f"data.horizon {horizon}: a network of {levels} levels plans at least "
            f"{max(levels, 2)} steps"
        )


def windows_of(config: ConfigDict, split: str) -> tuple[Windows, Labels]:
    """Every window of a split, and the names of what it holds; read once per process."""
    check_choice("split", split, SPLITS)
    return _windows(json.dumps(config.data.to_dict(), sort_keys=True, default=str), split)


@functools.lru_cache(maxsize=4)
def _windows(data: str, split: str) -> tuple[Windows, Labels]:
    config = ConfigDict({"data": json.loads(data)})
    procedures = read_procedures(config, split)
    if procedures.dropped:
        reasons = ", ".join(f"{count} ({why})" for why, count in procedures.dropped.items())
        logging.getLogger("jaxvision").warning(
            "%s %s: videos dropped: %s", config.data.name, split, reasons
        )
    windows = cut_windows(procedures, config.data.horizon, f"{config.data.name} {split}")
    return windows, Labels(procedures.tasks, procedures.actions)


def read_procedures(config: ConfigDict, split: str) -> Procedures:
    """The videos of a split of `config.data.name`."""
    data = config.data
    if data.name == "generated":
        return world_of(config).split(split, data[f"{split}_videos"])
    root = root_of(config)
    return READERS[data.name](root, split, data.channels)


def window_specs(layout: StateLayout, horizon: int, size: int) -> BatchSpecs:
    """Windows: `start`, `goal` float32 [size, O], `plan` int32 [size, T], `task` int32 [size]."""

    def spec(shape: tuple[int, ...], dtype: jnp.dtype) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((size, *shape), dtype)

    return {
        "windows": {
            "start": spec((layout.observation,), jnp.float32),
            "goal": spec((layout.observation,), jnp.float32),
            "plan": spec((horizon,), jnp.int32),
            "task": spec((), jnp.int32),
        }
    }


class Question(NamedTuple):
    """What a plan is asked for: two observations, and the seconds they stand for where known."""

    start: Float[np.ndarray, " o"]
    goal: Float[np.ndarray, " o"]
    seconds: tuple[float, float] | None


def read_questions(path: Path, channels: int) -> list[Question]:
    """What a file asks: each row of its `windows` [n, 2] (start second, end second), its `start`
    and `goal` (three rows each), or else the whole video from its first to its last second.

    The file holds per-second features: an array, or an archive with `frames_features`.
    """
    if path.suffix.lower() not in (".npy", ".npz"):
        raise InputError(
            f"{path}: expected .npy or .npz with one row of {channels} features per second "
            "(jaxvision/methods/pdpp/README.md says how to extract them from a video)"
        )
    arrays = read_arrays(path)
    if "start" in arrays and "goal" in arrays:
        pair = [np.asarray(arrays[key], np.float32) for key in ("start", "goal")]
        for key, value in zip(("start", "goal"), pair, strict=True):
            _check_rows(path, key, value, channels, exactly=OBSERVATION_SECONDS)
        return [Question(pair[0].reshape(-1), pair[1].reshape(-1), None)]
    features = frames_of(path, arrays)
    _check_rows(path, "features", features, channels)
    return [
        Question(
            start_observation(features, int(np.floor(start))),
            goal_observation(features, int(np.ceil(end))),
            (float(start), float(end)),
        )
        for start, end in _asked_windows(path, arrays, len(features))
    ]


def _asked_windows(path: Path, arrays: Mapping, rows: int) -> np.ndarray:
    windows = np.asarray(arrays.get("windows", [[0, rows - 1]]), np.float64)
    if windows.ndim != 2 or windows.shape[1] != 2 or len(windows) == 0:
        raise InputError(f"{path}: windows are {windows.shape}, expected [n, 2] seconds")
    wrong = ~((windows[:, 0] >= 0) & (windows[:, 0] <= windows[:, 1]) & (windows[:, 1] < rows))
    if wrong.any():
        start, end = windows[np.argmax(wrong)]
        raise InputError(f"{path}: window {start:g} to {end:g} s, expected within 0 to {rows - 1}")
    return windows


def _check_rows(path: Path, key: str, rows: np.ndarray, channels: int, exactly: int = 0) -> None:
    enough = len(rows) == exactly if exactly else rows.ndim > 0 and len(rows) >= OBSERVATION_SECONDS
    if rows.ndim != 2 or rows.shape[1] != channels or not enough:
        count = exactly or f"{OBSERVATION_SECONDS} or more"
        raise InputError(f"{path}: {key} {rows.shape}, expected {count} rows of {channels}")
    if not np.isfinite(rows).all():
        raise InputError(f"{path}: {key} are not finite")
