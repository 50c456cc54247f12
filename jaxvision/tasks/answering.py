"""A task's answer to raw batches: what `predict` of files asks for every one of them."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from jaxvision.training.task import Batch, Outputs, Task, Variables


def answer_to(
    task: Task, variables: Variables
) -> Callable[[Mapping[str, np.ndarray]], Mapping[str, Any]]:
    """A raw batch -> what `predict` says of it once prepared, as host arrays. Compiled once a
    shape; draws come from the run's seed, as in an evaluation."""

    @jax.jit
    def answer(variables: Variables, batch: Batch) -> Outputs:
        prepare_rng, rng = jax.random.split(jax.random.key(task.config.seed))
        return task.predict(variables, task.prepare(batch, prepare_rng, False), rng)

    return lambda batch: jax.device_get(answer(variables, batch))


def on_one_device(variables: Variables) -> Variables:
    """Variables for a program that answers one input at a time: where they lie on all devices,
    each of these would compute all of it."""
    return jax.device_put(variables, jax.local_devices()[0])
