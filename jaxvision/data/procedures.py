"""Procedures in videos, and the windows of them that are planned.

Features are one row per second, so seconds index rows. Windows are cut as published: dataloader
classes of MCG-NJU/PDPP.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from jaxvision.errors import InputError

OBSERVATION_SECONDS = 3
LONGEST = 10**6  # s, of a video


@dataclass(frozen=True, eq=False)
class Video:
    """One annotated video.

    steps: (action id, start second, end second) in annotation order.
    features: one row per second.
    """

    name: str
    task: int
    steps: Sequence[tuple[int, float, float]]
    features: Float[np.ndarray, "s c"]


@dataclass(frozen=True, eq=False)
class Procedures:
    """One split of a dataset: its videos, the names of tasks and actions, and what was dropped."""

    videos: Sequence[Video]
    tasks: Sequence[str]
    actions: Sequence[str]
    dropped: Mapping[str, int] = field(default_factory=Counter)


@dataclass(frozen=True, eq=False, kw_only=True)
class Windows:
    """Every window of a split, as arrays; a record of the loader is one of them.

    start, goal: observations of O values.  plan: action ids.  seconds: first and last row of each
    action in its video.  video: index into `names`.
    """

    start: Float[np.ndarray, "n o"]
    goal: Float[np.ndarray, "n o"]
    plan: Int[np.ndarray, "n t"]
    task: Int[np.ndarray, " n"]
    seconds: Int[np.ndarray, "n t 2"]
    video: Int[np.ndarray, " n"]
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {
            "start": self.start[index],
            "goal": self.goal[index],
            "plan": self.plan[index],
            "task": self.task[index],
        }

    def name(self, index: int) -> str:
        (first, _), (_, last) = self.seconds[index][0], self.seconds[index][-1]
        return f"{self.names[self.video[index]]} seconds {first} to {last}"


def cut_windows(procedures: Procedures, horizon: int, source: str) -> Windows:
    """Every window of `horizon` actions of every video. InputError where there is none."""
    rows: list[tuple] = []
    for number, video in enumerate(procedures.videos):
        for window in video_windows(video, horizon):
            start = start_observation(video.features, window[0, 0])
            goal = goal_observation(video.features, window[-1, 1])
            rows.append((start, goal, window[:, 2], video.task, window[:, :2], number))
    if not rows:
        raise InputError(f"{source}: no window of {horizon} actions; expected at least one video")
    start, goal, plan, task, seconds, numbers = (
        np.stack(column) for column in zip(*rows, strict=True)
    )
    return Windows(
        start=start.astype(np.float32),
        goal=goal.astype(np.float32),
        plan=plan.astype(np.int32),
        task=task.astype(np.int32),
        seconds=seconds.astype(np.int32),
        video=numbers.astype(np.int32),
        names=[video.name for video in procedures.videos],
    )


def video_windows(video: Video, horizon: int) -> Iterable[Int[np.ndarray, "t 3"]]:
    """Each run of `horizon` neighbouring actions as rows (first second, last second, action id).

    Starts are rounded down and ends up; an end beyond the features becomes the last row. A video of
    fewer actions repeats its first one in front.
    """
    rows = len(video.features)
    steps = []
    for action, start, end in video.steps:
        last = math.ceil(end)
        steps.append((math.floor(start), last if last < rows else rows - 1, action))
    steps = [steps[0]] * (horizon - len(steps)) + steps if steps else []
    for first in range(len(steps) - horizon + 1):
        yield np.array(steps[first : first + horizon], np.int64)


def start_observation(features: Float[np.ndarray, "s c"], second: int) -> Float[np.ndarray, " o"]:
    """Three rows from `second` on (or the last three), in one vector in time order."""
    first = min(int(second), len(features) - OBSERVATION_SECONDS)
    return features[first : first + OBSERVATION_SECONDS].reshape(-1)


def goal_observation(features: Float[np.ndarray, "s c"], second: int) -> Float[np.ndarray, " o"]:
    """The three rows that end with row `second` (not before the third), in one vector."""
    last = max(OBSERVATION_SECONDS - 1, int(second))
    return features[last - OBSERVATION_SECONDS + 1 : last + 1].reshape(-1)


def check_video(video: Video, channels: int | None, tasks: int, actions: int, source: str) -> Video:
    """`video`, or InputError naming `source` and what is wrong with it."""
    features = video.features
    if features.ndim != 2 or (channels is not None and features.shape[1] != channels):
        expected = f"[seconds, {channels or 'channels'}]"
        raise InputError(f"{source}: features are {features.shape}, expected {expected}")
    if len(features) < OBSERVATION_SECONDS:
        raise InputError(
            f"{source}: {len(features)} seconds of features; an observation takes "
            f"{OBSERVATION_SECONDS}"
        )
    if not np.isfinite(features).all():
        row = int(np.argmin(np.isfinite(features).all(axis=1)))
        raise InputError(f"{source}: features of second {row} are not finite")
    if not 0 <= video.task < tasks:
        raise InputError(f"{source}: task id {video.task}, expected 0 to {tasks - 1}")
    for action, start, end in video.steps:
        if not 0 <= action < actions:
            raise InputError(f"{source}: action id {action}, expected 0 to {actions - 1}")
        if not 0 <= start <= end < LONGEST:
            raise InputError(f"{source}: an action lasts from {start} s to {end} s")
    return video
