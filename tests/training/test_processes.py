"""Runs that are killed, asked to stop, or spread over two processes."""

import os
import random
import shlex
import signal
import time

import numpy as np
import pytest

from jaxvision.data import pictures
from jaxvision.training.checkpoint import Checkpoints
from jaxvision.weights.mapping import flatten
from processes import SMALL, finish, logged, run, start, start_group

pytestmark = pytest.mark.xdist_group("processes")
STEPS = 32
TRAIN = [
    "train",
    "--config=videomae/demo",
    *SMALL,
    f"--config.train.steps={STEPS}",
    "--config.checkpoint.every_steps=4",
    "--config.ema.decay=0.9",
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run."""
    workdir = tmp_path_factory.mktemp("whole")
    status, _, err = run(*TRAIN, f"--workdir={workdir}")
    assert status == 0, err
    return workdir


def variables(workdir, step=STEPS):
    return flatten(Checkpoints(workdir).read_variables(step))


def assert_same_run(workdir, whole):
    """Every logged loss and every final value, bit for bit."""
    losses, expected = logged(workdir), logged(whole)
    assert {step: expected[step] for step in losses} == losses
    for path, value in variables(whole).items():
        np.testing.assert_array_equal(variables(workdir)[path], value, err_msg=path)


def wait_for(condition, process, seconds=600):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "it ended before the moment waited for"
        assert time.monotonic() < deadline
        time.sleep(0.0005)


def test_sigkill_while_stepping_and_during_a_save(whole, tmp_path):
    folder = tmp_path / "checkpoints"
    process = start(*TRAIN, f"--workdir={tmp_path}")
    # Anywhere between two checkpoints.
    wait_for(lambda: (folder / "00000008").exists(), process)
    time.sleep(random.uniform(0, 0.3))
    process.send_signal(signal.SIGKILL)
    status, _, _ = finish(process)
    assert status == -signal.SIGKILL

    process = start(*TRAIN, f"--workdir={tmp_path}")

    def being_saved():
        names = [entry.name for entry in os.scandir(folder)]
        return any("orbax-checkpoint-tmp" in name for name in names)

    wait_for(lambda: not being_saved(), process)
    before = set(Checkpoints(tmp_path).steps())
    wait_for(lambda: set(Checkpoints(tmp_path).steps()) - before, process)
    wait_for(being_saved, process)
    process.send_signal(signal.SIGKILL)
    finish(process)
    assert being_saved(), "the kill did not come during a save"

    status, out, err = run(*TRAIN, f"--workdir={tmp_path}")
    assert status == 0, err
    assert "resumed from step" in out
    assert_same_run(tmp_path, whole)


def test_a_signal_before_the_first_step_exits_75(tmp_path):
    """While the step compiles, which takes much of the start; another config may follow."""
    process = start(*TRAIN, f"--workdir={tmp_path / 'a b'}")
    wait_for(lambda: (tmp_path / "a b/config.json").exists(), process)
    process.send_signal(signal.SIGTERM)
    status, _, err = finish(process)
    assert status == 75, err
    (line,) = err.splitlines()
    assert "stopped with nothing unsaved; to go on, run again:" in line
    words = shlex.split(line.partition("again: ")[2])
    assert words[1:] == ["-m", "jaxvision", *TRAIN, f"--workdir={tmp_path / 'a b'}"]


def test_sigterm_saves_and_exits_75(whole, tmp_path):
    process = start(*TRAIN, f"--workdir={tmp_path}")
    wait_for(lambda: (tmp_path / "checkpoints" / "00000004").exists(), process)
    process.send_signal(signal.SIGTERM)
    status, _, err = finish(process)
    assert status == 75, err
    (line,) = [text for text in err.splitlines() if "run again" in text]
    assert f"--workdir={tmp_path}" in line
    stopped = Checkpoints(tmp_path).steps()[-1]
    assert str(stopped) in line
    status, out, err = run(*TRAIN, f"--workdir={tmp_path}")
    assert status == 0, err
    assert f"resumed from step {stopped}:" in out
    assert_same_run(tmp_path, whole)


def test_two_processes_equal_one_and_stop_together(whole, tmp_path):
    group = start_group(2, *TRAIN, f"--workdir={tmp_path}")
    wait_for(lambda: (tmp_path / "checkpoints" / "00000008").exists(), group[0], 240)
    # Only one is told; both must agree on the step to stop at.
    group[1].send_signal(signal.SIGTERM)
    ends = [finish(process) for process in group]
    assert [status for status, _, _ in ends] == [75, 75], ends
    stopped = Checkpoints(tmp_path).steps()[-1]

    group = start_group(2, *TRAIN, f"--workdir={tmp_path}")
    ends = [finish(process) for process in group]
    assert [status for status, _, _ in ends] == [0, 0], ends
    assert f"resumed from step {stopped}:" in ends[0][1]
    assert "step" in ends[0][1]
    assert "step" not in ends[1][1], "only the first process speaks"
    losses, expected = logged(tmp_path), logged(whole)
    assert losses.keys() == expected.keys()
    np.testing.assert_allclose(
        [losses[step] for step in sorted(losses)],
        [expected[step] for step in sorted(expected)],
        rtol=1e-5,
    )


def test_a_hung_data_worker_is_named_and_ends_the_run(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        pictures.built_in("train")[number][0].save(folder / f"{number}.png")
    os.mkfifo(folder / "stuck.png")  # whoever opens it waits for a writer
    options = [f"--config.data.root={folder}", "--config.data.workers=2"]
    started = time.monotonic()
    status, _, err = run(
        *TRAIN, *options, "--config.data.patience=15", f"--workdir={tmp_path / 'run'}"
    )
    assert status == 1, err
    (line,) = [line for line in err.splitlines() if "hangs" in line]
    assert line.startswith("jaxvision: error: data worker ")
    assert f" of 2 hangs at batch 0 ({folder}" in line or "stuck.png" in line
    assert line.endswith("nothing for 15 s")
    # The workers hold the output open: it has been read to its end, so they are gone, too.
    assert time.monotonic() - started < 120


def test_profile_traces_the_chosen_steps(tmp_path):
    """In a process of its own: the profiler does not start safely beside a TPU compiler that other
    tests have loaded."""
    short = ["--config.train.steps=4", "--profile=1:3", f"--workdir={tmp_path}"]
    status, out, err = run(*TRAIN, *short)
    assert status == 0, err
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))
    assert f"profile: {tmp_path / 'profile'}" in out
