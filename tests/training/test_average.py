"""The exponential average: when it starts, how often it moves, what it holds."""

import jax
import numpy as np

from jaxvision.training import loop
from jaxvision.training.checkpoint import Checkpoints
from jaxvision.training.run import prepare_run
from training.toy import ToyTask, toy_config

STEPS = 7


def states(tmp_path, **ema):
    """(weights, average) of the head's kernel after every step."""
    settings = {f"ema.{name}": value for name, value in ema.items()}
    config = toy_config(
        **{"train.steps": STEPS, "checkpoint.every_steps": 1, "checkpoint.keep": 99, **settings}
    )
    task = ToyTask(config)
    loop.train(task, config, tmp_path, None, jax.devices()[:1])
    checkpoints = Checkpoints(tmp_path)
    target = prepare_run(task, config, jax.devices()[:1]).target
    found = [checkpoints.restore(step, target) for step in checkpoints.steps()]
    kernel = [np.asarray(s.params["head"]["kernel"], np.float64) for s in found]
    return kernel, [np.asarray(s.ema["params"]["head"]["kernel"]) for s in found], found


def test_average_starts_late_and_moves_every_interval(tmp_path):
    kernel, average, _ = states(tmp_path, decay=0.75, start_step=3, interval=2)
    expected = None
    for step in range(STEPS):  # updates are numbered from 0
        if step % 2 == 0:
            decay = 0.0 if step < 3 else 0.75
            before = 0 if expected is None else expected
            expected = decay * before + (1 - decay) * kernel[step]
        np.testing.assert_allclose(average[step], expected, rtol=1e-6, err_msg=str(step))


def test_average_holds_the_collections_asked_for_and_no_frozen_parameter(tmp_path):
    _, _, found = states(tmp_path, decay=0.5, collections=("batch_stats",))
    last = found[-1]
    assert set(last.ema) == {"params", "batch_stats"}
    assert "table" not in last.ema["params"]
    assert "table" in last.variables(averaged=True)["params"]
    mean = last.variables(averaged=True)["batch_stats"]["norm"]["mean"]
    np.testing.assert_array_equal(mean, last.ema["batch_stats"]["norm"]["mean"])
    assert (np.asarray(mean) != np.asarray(last.collections["batch_stats"]["norm"]["mean"])).any()
