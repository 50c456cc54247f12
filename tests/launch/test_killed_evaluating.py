"""One of two processes is killed while the run is being evaluated; the next carries on."""

import json
import signal

import numpy as np
import pytest

from jaxvision.training.checkpoint import Checkpoints
from jaxvision.weights.mapping import flatten
from launch.watched import Launch
from processes import SMALL, logged

pytestmark = pytest.mark.xdist_group("processes")
STEPS, EVERY = 12, 6
TRAIN = [
    "jaxvision",
    "train",
    "--config=videomae/demo",
    *SMALL,
    "--config.task.probe=True",
    f"--config.train.steps={STEPS}",
    f"--config.evaluate.every_steps={EVERY}",
    # A save waits for the one before it: at step 6 that of step 2 is whole.
    "--config.checkpoint.every_steps=2",
]
RESULT = "evaluate/probe/accuracy"


def steps_with(workdir, name):
    file = workdir / "metrics.jsonl"
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    rows = [json.loads(line) for line in lines if line.endswith("\n")]
    return {row["step"] for row in rows if name in row}


def evaluating(workdir):
    """The step that is being evaluated: it has a loss and no result yet. 0 where there is none."""
    losses, results = steps_with(workdir, "loss"), steps_with(workdir, RESULT)
    last = max(losses, default=0)
    return last if last and last % EVERY == 0 and last not in results else 0


def test_killed_while_evaluating_and_carried_on(tmp_path):
    whole, workdir = tmp_path / "whole", tmp_path / "killed"
    status, text = Launch(*TRAIN, f"--workdir={whole}").finish()
    assert status == 0, text

    launch = Launch(*TRAIN, f"--workdir={workdir}")
    # Past the first checkpoint, and never at the last step.
    assert launch.wait_for(lambda: EVERY <= evaluating(workdir) < STEPS), "it was never seen at it"
    assert launch.kill(1)
    status, text = launch.finish()
    assert status == 128 + signal.SIGKILL, text
    assert "launch: process 1 was lost: ended by SIGKILL" in text
    assert evaluating(workdir), "the kill came after the evaluation"

    status, text = Launch(*TRAIN, f"--workdir={workdir}").finish()
    assert status == 0, text
    assert "[0] resumed from step" in text
    assert logged(workdir) == logged(whole)
    assert logged(workdir, RESULT) == logged(whole, RESULT)
    values = flatten(Checkpoints(workdir).read_variables(STEPS))
    for path, value in flatten(Checkpoints(whole).read_variables(STEPS)).items():
        np.testing.assert_array_equal(values[path], value, err_msg=path)
