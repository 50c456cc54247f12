"""Made-up procedure videos: no download, ground truth by construction.

Every task is a fixed order of actions, some of which it shares with other tasks, in one of two
variants that swap neighbouring steps. A second's features show the action, the task and the
variant, and on top of them, far stronger, the look of the video (a kitchen, a camera): the videos
that look alike are not those that do alike, so copying the nearest training example fails.
"""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxvision.data.procedures import Procedures, Video

LOOK_DIMENSIONS = 8  # of what sets a video apart that has nothing to do with its plan


class _Drawn(NamedTuple):
    """orders: action ids of every task.  The others: unit vectors that features are made of."""

    orders: Int[np.ndarray, "tasks steps"]
    actions: Float[np.ndarray, "actions channels"]
    tasks: Float[np.ndarray, "tasks channels"]
    variants: Float[np.ndarray, "2 channels"]
    looks: Float[np.ndarray, "looks channels"]


@dataclass(frozen=True, kw_only=True)
class ProcedureWorld:
    """What there is to do. channels: of a second's features.  variant, look: how strongly a variant
    and a video's look show, in units of an action.  noise: deviation per channel and second.
    """

    tasks: int = 6
    actions: int = 24
    steps: int = 7
    channels: int = 32
    variant: float = 2.0
    look: float = 2.0
    noise: float = 0.15
    seed: int = 0

    @functools.cached_property
    def _drawn(self) -> _Drawn:
        """What the seed decides."""
        draw = np.random.default_rng((self.seed, 0))

        def directions(count: int) -> np.ndarray:
            values = draw.normal(size=(count, self.channels))
            return values / np.linalg.norm(values, axis=1, keepdims=True)

        orders = [draw.permutation(self.actions)[: self.steps] for _ in range(self.tasks)]
        counts = (self.actions, self.tasks, 2, LOOK_DIMENSIONS)
        return _Drawn(np.array(orders), *(directions(count) for count in counts))

    def order(self, task: int, variant: int) -> np.ndarray:
        """Action ids of a task; variant 1 swaps its second and third step, fourth and fifth, ..."""
        actions = self._drawn.orders[task].copy()
        if variant:
            for first in range(1, self.steps - 1, 2):
                actions[[first, first + 1]] = actions[[first + 1, first]]
        return actions

    def video(self, number: int, split: str) -> Video:
        """Video `number` of a split: a pure function of the two and the seed."""
        draw = np.random.default_rng((self.seed, 1 + (split == "train"), number))
        task, variant = int(draw.integers(self.tasks)), int(draw.integers(2))
        look = self.look * draw.normal(size=LOOK_DIMENSIONS) @ self._drawn.looks
        second, steps, shown = int(draw.integers(0, 3)), [], []
        shown += [None] * second
        for action in self.order(task, variant):
            length = int(draw.integers(3, 7))
            steps.append((int(action), float(second), float(second + length - 1)))
            shown += [action] * length
            second += length
        rows = [
            look
            + self._drawn.tasks[task]
            + self.variant * self._drawn.variants[variant]
            + (self._drawn.actions[action] if action is not None else 0)
            for action in shown
        ]
        features = np.array(rows) + self.noise * draw.normal(size=(len(rows), self.channels))
        return Video(f"{split} video {number}", task, steps, features.astype(np.float32))

    def split(self, split: str, videos: int) -> Procedures:
        """`videos` videos of "train" or "test"; no video is in both."""
        made = [self.video(number, split) for number in range(videos)]
        return Procedures(made, self.task_names, self.action_names)

    @property
    def task_names(self) -> list[str]:
        return [f"task {number}" for number in range(self.tasks)]

    @property
    def action_names(self) -> list[str]:
        return [f"action {number}" for number in range(self.actions)]
