"""launch.tpu_pod: what --dry-run prints, and what it does when slices are lost."""

import itertools
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launch import tpu_pod
from launch.tpu_pod import Pod, main

OPTIONS = ["--name=mae", "--zone=us-west4-a", "--type=v5litepod-256"]
TRAIN = ["--", "train", "--workdir", "/mnt/it's a b"]


def dry_run(capsys, *arguments):
    """The commands that are printed, as lists of words."""
    assert main([arguments[0], *OPTIONS, "--dry-run", *arguments[1:]]) == 0
    words = shlex.split(capsys.readouterr().out)
    starts = [n for n, word in enumerate(words) if word in ("gcloud", "git")] + [len(words)]
    return [words[a:b] for a, b in itertools.pairwise(starts)]


def kinds(commands):
    return [" ".join(c[3:5]) if c[0] == "gcloud" else c[0] for c in commands]


def test_dry_run_of_everything(capsys):
    commands = dry_run(capsys, "run", *TRAIN)
    assert kinds(commands) == [
        "queued-resources create",
        "queued-resources describe",
        "git",
        "tpu-vm scp",
        "tpu-vm ssh",
        "tpu-vm ssh",
        "tpu-vm ssh",
        "queued-resources delete",
    ]
    create = commands[0]
    assert "--node-id=mae" in create
    assert "--runtime-version=v2-alpha-tpuv5-lite" in create
    assert "--spot" not in create
    assert all("--zone=us-west4-a" in c for c in commands if c[0] == "gcloud")
    assert "--worker=0" in commands[6], "only the first process speaks"
    assert all("--worker=all" in c for c in commands[3:6])


def test_several_slices(capsys):
    commands = dry_run(capsys, "run", "--slices=3", "--spot", "--project=p", *TRAIN)
    assert {"--node-count=3", "--node-prefix=mae", "--spot", "--project=p"} <= set(commands[0])
    started = [c for c in commands if any("nohup" in word for word in c)]
    assert [c[5] for c in started] == ["mae-0", "mae-1", "mae-2"]
    assert kinds(commands).count("queued-resources delete") == 1


@pytest.mark.parametrize("step", ["create", "install", "start", "logs", "status", "stop", "delete"])
def test_every_step_alone(capsys, step):
    assert dry_run(capsys, step, *TRAIN)


def test_what_workers_run_is_shell(capsys):
    commands = dry_run(capsys, "run", "--setup=mount x", *TRAIN) + dry_run(capsys, "stop")
    sent = [w.partition("=")[2] for c in commands for w in c if w.startswith("--command=")]
    assert len(sent) == 4
    for text in sent:
        subprocess.run(["bash", "-n", "-c", text], check=True)
    assert "mount x" in sent[1]


def test_a_worker_keeps_the_status_and_the_arguments(tmp_path):
    """The start and log commands, really run, with a stand-in for jaxvision."""
    program = tmp_path / "venv" / "bin" / "jaxvision"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/bash\nprintf "<%s>\\n" "$@"; sleep 0.2; exit 75\n')
    program.chmod(0o755)
    (tmp_path / "jaxvision").mkdir()

    def on_worker(command, **_):
        (text,) = [w.partition("=")[2] for w in command if w.startswith("--command=")]
        return subprocess.run(
            ["bash", "-c", text], env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, timeout=20
        )

    pod = Pod(name="mae", zone="z", type="v4-8", arguments=TRAIN[1:], run_command=on_worker)
    pod.start()
    assert pod.logs() == 75
    assert (tmp_path / "run.log").read_text().splitlines() == [f"<{word}>" for word in TRAIN[1:]]


def test_stop_lets_the_run_save(tmp_path):
    program = tmp_path / "venv" / "bin" / "jaxvision"
    program.parent.mkdir(parents=True)
    program.write_text(
        "#!/bin/bash\ntrap 'echo saved; exit 75' TERM\necho ready\nwhile :; do sleep 0.05; done\n"
    )
    program.chmod(0o755)
    (tmp_path / "jaxvision").mkdir()

    def on_worker(command, **_):
        (text,) = [w.partition("=")[2] for w in command if w.startswith("--command=")]
        return subprocess.run(
            ["bash", "-c", text], env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, timeout=20
        )

    pod = Pod(name="mae", zone="z", type="v4-8", arguments=["train"], run_command=on_worker)
    pod.start()
    deadline = time.monotonic() + 10
    while not (tmp_path / "run.log").exists() or not (tmp_path / "run.log").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    pod.stop()
    assert pod.logs() == 75
    assert (tmp_path / "run.log").read_text() == "ready\nsaved\n"


class Cloud:
    """Answers for gcloud: states one after another, and exit statuses of the run."""

    def __init__(self, states, statuses):
        self.states, self.statuses, self.called = list(states), list(statuses), []

    def __call__(self, command, **_):
        done = subprocess.CompletedProcess(command, 0, stdout="")
        if "describe" in command:
            done.stdout = self.states.pop(0) + "\n"
        elif f"--command={tpu_pod.LOGS}" in command:
            done.returncode = self.statuses.pop(0)
            self.called.append("logs")
        elif command[0] == "gcloud":
            step = {"create": "create", "delete": "delete", "scp": "install"}.get(command[4])
            step = step or ("start" if "nohup" in command[-2] else None)
            step = step or ("stop" if f"--command={tpu_pod.STOP}" in command else None)
            self.called += [step] if step else []
        return done


def follow(states, statuses, resumes=5):
    cloud = Cloud(states, statuses)
    pod = Pod(
        name="mae", zone="z", type="v4-8", arguments=["train"], poll_seconds=0, run_command=cloud
    )
    status = pod.run(resumes, keep=False)
    assert not cloud.states
    assert not cloud.statuses
    return status, " ".join(cloud.called)


BEGIN = "create install start logs"


def test_finished():
    assert follow(["PROVISIONING", "ACTIVE", "ACTIVE"], [0]) == (0, f"{BEGIN} delete")


def test_preempted_slices_are_asked_for_again():
    states = ["ACTIVE", "SUSPENDED", "WAITING_FOR_RESOURCES", "ACTIVE", "ACTIVE"]
    assert follow(states, [255, 0]) == (0, f"{BEGIN} delete {BEGIN} delete")


def test_a_broken_connection_is_taken_up_again():
    assert follow(["ACTIVE"] * 3, [255, 0]) == (0, f"{BEGIN} logs delete")


def test_a_lost_worker_restarts_all():
    assert follow(["ACTIVE"] * 3, [134, 0]) == (0, f"{BEGIN} stop start logs delete")


def test_bad_input_ends_it():
    assert follow(["ACTIVE"] * 2, [2]) == (2, f"{BEGIN} delete")


def test_resumes_are_counted():
    assert follow(["ACTIVE"] * 3, [1, 1], resumes=1) == (1, f"{BEGIN} stop start logs delete")
    assert follow(["ACTIVE", "FAILED"], [255], resumes=0) == (75, f"{BEGIN} delete")


def test_bad_options(capsys):
    assert main(["run", *OPTIONS, "--dry-run"]) == 2
    assert "give jaxvision's arguments" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="no runtime known for 'v9z'"):
        main(["create", "--name=a", "--zone=b", "--type=v9z-8", "--dry-run"])


def test_help_starts_from_a_shell():
    done = subprocess.run(
        [sys.executable, "-m", "launch.tpu_pod", "--help"],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "--dry-run" in done.stdout
