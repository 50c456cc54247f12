"""A training run in two processes under the launcher: killed, stopped, carried on."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from jaxvision.training.checkpoint import Checkpoints
from jaxvision.weights.mapping import flatten
from processes import ROOT, SMALL, logged

pytestmark = pytest.mark.xdist_group("processes")
STEPS = 40
TRAIN = [
    "train",
    "--config=videomae/demo",
    *SMALL,
    f"--config.train.steps={STEPS}",
    "--config.checkpoint.every_steps=4",
]


class Launch:
    """`launch.local` running `jaxvision *arguments` in two processes; its output in `lines`."""

    def __init__(self, *arguments: str, **environment: str):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "launch.local", "--processes=2", "--", "jaxvision", *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "XLA_FLAGS": "--xla_backend_optimization_level=0",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        self.lines.extend(self.process.stdout)

    def finish(self, timeout: float = 240) -> tuple[int, str]:
        status = self.process.wait(timeout)
        self._reader.join(timeout=10)
        return status, "".join(self.lines)

    def wait_for(self, condition, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, "".join(self.lines)
            assert time.monotonic() < deadline, "".join(self.lines)
            time.sleep(0.002)

    def pid_of(self, number: int) -> int:
        """Of the process that the launcher told it was `number`."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        wanted = f"JAX_PROCESS_ID={number}".encode()
        (pid,) = [
            int(pid)
            for pid in listed.split()
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        ]
        return pid


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run."""
    workdir = tmp_path_factory.mktemp("whole")
    status, text = Launch(*TRAIN, f"--workdir={workdir}").finish()
    assert status == 0, text
    return workdir


def assert_same_run(workdir, whole):
    """Every logged loss and every final value, bit for bit."""
    assert logged(workdir) == logged(whole)
    values = flatten(Checkpoints(workdir).read_variables(STEPS))
    for path, value in flatten(Checkpoints(whole).read_variables(STEPS)).items():
        np.testing.assert_array_equal(values[path], value, err_msg=path)


def test_killed_and_stopped_and_carried_on(whole, tmp_path):
    def committed(step):
        return lambda: (tmp_path / "checkpoints" / f"{step:08d}").exists()

    for lost, step in ((1, 8), (0, 16)):  # the second is the coordinator
        launch = Launch(*TRAIN, f"--workdir={tmp_path}")
        launch.wait_for(committed(step))
        os.kill(launch.pid_of(lost), signal.SIGKILL)
        killed = time.monotonic()
        status, text = launch.finish()
        assert status == 128 + signal.SIGKILL, text
        assert time.monotonic() - killed < 20
        said = [line for line in text.splitlines() if line.startswith("launch: ")]
        assert said[:2] == [
            f"launch: process {lost} was lost: ended by SIGKILL",
            f"launch: stopping process {1 - lost}",
        ]

    launch = Launch(*TRAIN, f"--workdir={tmp_path}")
    launch.wait_for(committed(24))
    launch.process.send_signal(signal.SIGTERM)
    status, text = launch.finish()
    assert status == 75, text
    stopped = Checkpoints(tmp_path).steps()[-1]
    assert f"preempted after step {stopped}" in text

    status, text = Launch(*TRAIN, f"--workdir={tmp_path}").finish()
    assert status == 0, text
    assert f"[0] resumed from step {stopped}:" in text
    assert_same_run(tmp_path, whole)
