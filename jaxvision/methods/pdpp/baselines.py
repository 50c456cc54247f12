"""What a planner is compared with: random plans, and that of the most similar training window."""

import numpy as np
from jaxtyping import Float, Int

from jaxvision.data.procedures import Windows

CHUNK = 1024  # windows compared at a time


def random_plans(count: int, horizon: int, actions: int, seed: int) -> Int[np.ndarray, "n t"]:
    """Every action uniform over all of them."""
    return np.random.default_rng((seed, 7)).integers(actions, size=(count, horizon))


def retrieved_plans(train: Windows, test: Windows) -> Int[np.ndarray, "n t"]:
    """The plan of the training window whose start and goal are nearest (Euclidean)."""
    best = np.full(len(test), np.inf)
    nearest = np.zeros(len(test), np.int64)
    for first in range(0, len(train), CHUNK):
        part = slice(first, first + CHUNK)
        distance = squared_distances(test.start, train.start[part])
        distance += squared_distances(test.goal, train.goal[part])
        rows = np.argmin(distance, axis=1)
        found = distance[np.arange(len(test)), rows]
        closer = found < best
        best[closer], nearest[closer] = found[closer], first + rows[closer]
    return train.plan[nearest]


def squared_distances(
    a: Float[np.ndarray, "n o"], b: Float[np.ndarray, "m o"]
) -> Float[np.ndarray, "n m"]:
    squares = np.sum(np.square(a), axis=1)[:, None] + np.sum(np.square(b), axis=1)
    return squares - 2 * a @ b.T
