"""A training run in two processes: killed, stopped, out of disk, and carried on."""

import signal
import sys
import time

import numpy as np
import pytest

from jaxvision.training.checkpoint import Checkpoints
from jaxvision.weights.mapping import flatten
from launch.watched import Launch
from processes import SMALL, finish, logged, start_group

pytestmark = pytest.mark.xdist_group("processes")
STEPS, EVALUATE = 64, 48  # far enough apart for a machine that is busy
TRAIN = [
    "jaxvision",
    "train",
    "--config=videomae/demo",
    *SMALL,
    f"--config.train.steps={STEPS}",
    "--config.checkpoint.every_steps=4",
]
EVALUATED = ["--config.task.probe=True", f"--config.evaluate.every_steps={EVALUATE}"]
RESULT = "evaluate/probe/accuracy"


# Takes the disk away once the checkpoint that is its first argument is there.
FULL_DISK = """
import resource, sys, threading, time
from pathlib import Path
from jaxvision.cli.main import main

def fill():
    while not Path(sys.argv[1]).exists():
        time.sleep(0.005)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))

threading.Thread(target=fill, daemon=True).start()
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run, evaluated."""
    workdir = tmp_path_factory.mktemp("whole")
    status, text = Launch(*TRAIN, *EVALUATED, f"--workdir={workdir}").finish()
    assert status == 0, text
    return workdir


def assert_same_run(workdir, whole):
    """Every logged loss and every final value, bit for bit."""
    assert logged(workdir) == logged(whole)
    values = flatten(Checkpoints(workdir).read_variables(STEPS))
    for path, value in flatten(Checkpoints(whole).read_variables(STEPS)).items():
        np.testing.assert_array_equal(values[path], value, err_msg=path)


def saved(workdir, step):
    return lambda: (workdir / "checkpoints" / f"{step:08d}").exists()


def evaluating(workdir):
    """Whether it has come to the first evaluation: that step has a loss and no result yet."""
    if not (workdir / "metrics.jsonl").exists():
        return False
    return max(logged(workdir), default=0) == EVALUATE not in logged(workdir, RESULT)


def carry_on(workdir, whole, *options):
    """The same command again reaches the end, from a checkpoint, as if nothing had happened."""
    status, text = Launch(*TRAIN, *options, f"--workdir={workdir}").finish()
    assert status == 0, text
    assert "[0] resumed from step" in text
    assert_same_run(workdir, whole)


def test_killed_and_stopped_and_carried_on(whole, tmp_path):
    """The coordinator killed while stepping; asked to stop; the other killed in an evaluation."""
    command = (*TRAIN, *EVALUATED, f"--workdir={tmp_path}")

    def killed(lost, moment):
        launch = Launch(*command)
        assert launch.wait_for(moment), "it ended before the moment waited for"
        assert launch.kill(lost)
        killed = time.monotonic()
        status, text = launch.finish()
        assert status == 128 + signal.SIGKILL, text
        assert time.monotonic() - killed < 20
        said = [line for line in text.splitlines() if line.startswith("launch: ")]
        assert said[:2] == [
            f"launch: process {lost} was lost: ended by SIGKILL",
            f"launch: stopping process {1 - lost}",
        ]

    killed(0, saved(tmp_path, 8))

    launch = Launch(*command)
    assert launch.wait_for(saved(tmp_path, 16))
    launch.process.send_signal(signal.SIGTERM)
    status, text = launch.finish()
    assert status == 75, text
    stopped = Checkpoints(tmp_path).steps()[-1]
    assert f"preempted after step {stopped}" in text

    killed(1, lambda: evaluating(tmp_path))
    assert evaluating(tmp_path), "the kill came after the evaluation"

    carry_on(tmp_path, whole, *EVALUATED)
    assert logged(tmp_path, RESULT) == logged(whole, RESULT)
    assert logged(whole, RESULT).keys() == {EVALUATE, STEPS}


def test_a_full_disk_and_a_failed_background_save_stop_the_run(whole, tmp_path):
    trigger = str(tmp_path / "checkpoints" / "00000008")
    full = (sys.executable, "-c", FULL_DISK, trigger)
    status, text = Launch(*full, *TRAIN[1:], f"--workdir={tmp_path}").finish()
    assert status in (1, 2), text
    assert "cannot write a checkpoint" in text
    steps = Checkpoints(tmp_path).steps()
    assert 8 <= steps[-1] < STEPS, "only what was whole before counts"

    launch = Launch(*TRAIN, f"--workdir={tmp_path}")
    assert launch.wait_for(saved(tmp_path, steps[-1] + 4))
    folder, away = tmp_path / "checkpoints", tmp_path / "away"
    folder.rename(away)
    folder.touch()  # a file: nothing can be saved in it
    status, text = launch.finish()
    assert status in (1, 2), text
    assert [line for line in text.splitlines() if f"error: {folder}" in line], text
    assert f"step {STEPS}/{STEPS}" not in text
    folder.unlink()
    away.rename(folder)
    carry_on(tmp_path, whole)


def test_restart_on_another_process_count(whole, tmp_path):
    launch = Launch(*TRAIN, f"--workdir={tmp_path}")
    assert launch.wait_for(saved(tmp_path, 8))
    launch.process.send_signal(signal.SIGTERM)
    status, text = launch.finish()
    assert status == 75, text
    status, text = Launch(*TRAIN, f"--workdir={tmp_path}", processes=1, devices=2).finish()
    assert status == 0, text
    assert "[0] resumed from step" in text
    losses, expected = logged(tmp_path), logged(whole)
    assert losses.keys() == expected.keys()
    steps = sorted(expected)
    np.testing.assert_allclose(
        [losses[step] for step in steps], [expected[step] for step in steps], rtol=1e-5
    )


def test_a_lost_peer_is_noticed_without_a_launcher(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXVISION_HEARTBEAT_SECONDS", "5")
    group = start_group(2, *TRAIN[1:], f"--workdir={tmp_path}")
    deadline = time.monotonic() + 240
    while not saved(tmp_path, 4)():
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in group)
        time.sleep(0.01)
    group[1].kill()
    killed = time.monotonic()
    status, _, _ = finish(group[0])
    assert status not in (0, 75)
    assert time.monotonic() - killed < 5 + 20, "within the heartbeat, and the time to end"
    finish(group[1])
