"""python -m launch.local with small commands: prefixes, losses, signals, exit statuses."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launch.local import environment

ROOT = Path(__file__).resolve().parents[2]
NUMBER = "import os, sys, time; n = int(os.environ['JAX_PROCESS_ID'])\n"
# In short steps: a signal that comes just before a sleep is answered only after it.
SLEEP = "\nfor _ in range(600): time.sleep(0.1)\n"


def begin(code, *options, processes=2):
    """`launch.local` running `code` in each process."""
    own = [sys.executable, "-m", "launch.local", f"--processes={processes}", *options]
    return subprocess.Popen(
        [*own, "--", sys.executable, "-c", NUMBER + code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(launcher, timeout=30):
    out, err = launcher.communicate(timeout=timeout)
    return launcher.returncode, out, err


def read_until(stream, *wanted):
    """Lines up to the one by which all of `wanted` have been seen."""
    left = set(wanted)
    while left:
        line = stream.readline()
        assert line, f"the output ended before {left}"
        left.discard(line.strip())


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_lines_carry_the_number_of_their_process():
    status, out, err = end(
        begin("print('first'); print('to stderr', file=sys.stderr); print('no end', end='')")
    )
    assert status == 0, err
    assert sorted(out.splitlines()) == ["[0] first", "[0] no end", "[1] first", "[1] no end"]
    assert sorted(err.splitlines()) == ["[0] to stderr", "[1] to stderr"]


def test_each_process_knows_its_place():
    settings = environment({"XLA_FLAGS": "--x=1"}, 1, 3, devices=2, platform="cpu", port=1234)
    assert settings == {
        "JAX_COORDINATOR_ADDRESS": "127.0.0.1:1234",
        "JAX_COORDINATOR_BIND_ADDRESS": "127.0.0.1:1234",
        "JAX_NUM_PROCESSES": "3",
        "JAX_PROCESS_ID": "1",
        "JAX_PLATFORMS": "cpu",
        "PYTHONUNBUFFERED": "1",
        "XLA_FLAGS": "--x=1 --xla_force_host_platform_device_count=2",
    }
    again = environment(settings, 0, 3, devices=4, platform="cpu", port=1234)
    assert again["XLA_FLAGS"] == "--x=1 --xla_force_host_platform_device_count=4"
    cuda = environment({}, 1, 2, devices=2, platform="cuda", port=1)
    assert cuda["CUDA_VISIBLE_DEVICES"] == "2,3"


def test_a_killed_process_is_named_and_the_others_are_stopped():
    code = "print(os.getpid()); " + SLEEP
    launcher = begin(code, processes=3)
    pids = dict(launcher.stdout.readline().split() for _ in range(3))
    started = time.monotonic()
    os.kill(int(pids["[1]"]), signal.SIGKILL)
    status, _, err = end(launcher)
    assert status == 128 + signal.SIGKILL
    assert err.splitlines() == [
        "launch: process 1 was lost: ended by SIGKILL",
        "launch: stopping processes 0, 2",
    ]
    assert time.monotonic() - started < 5
    assert not any(alive(pid) for pid in pids.values())


def test_what_does_not_stop_is_killed_with_all_it_started():
    code = """
import signal, subprocess
if n == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    worker = subprocess.Popen(["sleep", "60"])
    print(worker.pid)
    time.sleep(60)
sys.stdin.read()
time.sleep(0.5)
sys.exit(7)
"""
    launcher = begin(code, "--grace=0.3")
    worker = launcher.stdout.readline().split()[1]
    status, _, err = end(launcher)
    assert status == 7, err
    assert err.splitlines() == [
        "launch: process 1 ended with exit status 7",
        "launch: stopping process 0",
        "launch: killing process 0: still running after 0.3 s",
    ]
    assert not alive(worker)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("sys.exit(75)", 75),
        ("sys.exit(75 if n else 0)", 75),
        ("sys.exit(2)", 2),
        ("time.sleep(0.5 * n); sys.exit([75, 3][n])", 3),
        ("pass", 0),
    ],
)
def test_the_exit_status_is_passed_on(code, expected):
    status, _, err = end(begin(code))
    assert status == expected
    assert ("ended with exit status" in err) == (expected in (2, 3))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_go_to_all(number):
    code = (
        "import signal\n"
        f"signal.signal({int(number)}, lambda *_: (print('saved'), sys.exit(75)))\n"
        "print('ready'); " + SLEEP
    )
    launcher = begin(code)
    read_until(launcher.stdout, "[0] ready", "[1] ready")
    launcher.send_signal(number)
    status, out, err = end(launcher)
    assert status == 75, err
    assert sorted(out.splitlines()) == ["[0] saved", "[1] saved"]
    assert err == ""


def test_stopped_before_it_could_save():
    launcher = begin("print('ready'); " + SLEEP, processes=1)
    read_until(launcher.stdout, "[0] ready")
    launcher.send_signal(signal.SIGTERM)
    status, _, err = end(launcher)
    assert status == 128 + signal.SIGTERM
    assert err == "launch: process 0 was stopped by SIGTERM before it could save\n"


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels have no parent-death signal")
def test_nothing_outlives_a_killed_launcher():
    launcher = begin("print(os.getpid()); " + SLEEP)
    pids = [launcher.stdout.readline().split()[1] for _ in range(2)]
    launcher.kill()
    end(launcher)
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("options", "command", "message"),
    [
        (["--processes=0"], ["true"], "at least one process"),
        (["--devices-per-process=0"], ["true"], "at least one process and one device each"),
        ([], [], "no command"),
        ([], ["no-such-program"], "no program 'no-such-program'"),
    ],
)
def test_bad_input_is_one_line(options, command, message):
    done = subprocess.run(
        [sys.executable, "-m", "launch.local", "--processes=2", *options, "--", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("launch: error: ")
    assert message in line
