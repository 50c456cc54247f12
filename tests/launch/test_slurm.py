"""launch/slurm.sbatch, with stand-ins for srun, scontrol and scancel."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "launch" / "slurm.sbatch"


@pytest.fixture
def cluster(tmp_path):
    """(environment, read): commands that note their arguments; `srun` runs $SRUN in bash."""
    called = tmp_path / "called"
    called.touch()
    for name, body in (
        ("srun", 'exec bash -c "$SRUN"'),
        ("scontrol", ""),
        ("scancel", "kill -TERM $(cat srun.pid)"),
    ):
        program = tmp_path / name
        program.write_text(f'#!/bin/bash\necho {name} "$@" >> {called}\n{body}\n')
        program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "12"}
    return environment, lambda: called.read_text().splitlines()


def begin(environment, tmp_path, srun, *arguments, **more):
    return subprocess.Popen(
        ["bash", str(SCRIPT), *arguments],
        cwd=tmp_path,
        env={**environment, "SRUN": srun, **more},
        stderr=subprocess.PIPE,
        text=True,
    )


STEP = "srun --kill-on-bad-exit=1 --label jaxvision train --workdir /a b"


@pytest.mark.parametrize("status", [0, 1, 2, 75, 134])
def test_only_a_preempted_run_is_requeued(cluster, tmp_path, status):
    environment, called = cluster
    job = begin(environment, tmp_path, f"exit {status}", "train", "--workdir", "/a b")
    job.communicate(timeout=120)
    assert job.returncode == (0 if status == 75 else status)
    assert called() == ([STEP, "scontrol requeue 12"] if status == 75 else [STEP])


def test_requeues_come_to_an_end(cluster, tmp_path):
    environment, called = cluster
    job = begin(
        environment,
        tmp_path,
        "exit 75",
        "train",
        SLURM_RESTART_COUNT="3",
        JAXVISION_MAX_RESTARTS="3",
    )
    _, err = job.communicate(timeout=120)
    assert job.returncode == 75
    assert "already requeued 3 times" in err
    assert len(called()) == 1


def test_a_signal_to_the_batch_shell_reaches_the_step(cluster, tmp_path):
    environment, called = cluster
    step = "echo $$ > srun.pid; trap 'sleep 0.3; exit 75' TERM; while :; do sleep 0.05; done"
    job = begin(environment, tmp_path, step, "train")
    deadline = time.monotonic() + 10
    while not (tmp_path / "srun.pid").exists() or not (tmp_path / "srun.pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.2)  # for the trap
    job.send_signal(signal.SIGTERM)
    job.communicate(timeout=120)
    assert job.returncode == 0
    assert called()[1:] == ["scancel --signal=TERM 12", "scontrol requeue 12"]


def test_no_arguments():
    done = subprocess.run(["bash", str(SCRIPT)], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: sbatch")


def test_one_task_per_gpu():
    directives = dict(
        line.removeprefix("#SBATCH --").partition("=")[::2]
        for line in SCRIPT.read_text().splitlines()
        if line.startswith("#SBATCH")
    )
    assert directives["ntasks-per-node"] == directives["gpus-per-node"]
    assert directives["signal"].startswith("TERM@"), "to the steps, not to the batch shell"
    assert "requeue" in directives


@pytest.mark.parametrize(
    ("array", "last"), [({}, "--merge"), ({"SLURM_ARRAY_TASK_ID": "3"}, "--shard auto")]
)
def test_an_array_does_shards_and_a_job_alone_merges_them(cluster, tmp_path, array, last):
    environment, called = cluster
    script = SCRIPT.with_name("shards.sbatch")
    words = ["bash", str(script), "predict", "/a b", "--out", "/c"]
    job = subprocess.run(words, env={**environment, "SRUN": "exit 2", **array}, check=False)
    assert job.returncode == 2, "what the shard says is what the task says"
    assert called() == [f"srun jaxvision predict /a b --out /c {last}"]
