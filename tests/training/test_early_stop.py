"""Signals before the first step, a second one, and workers whose parent or who themselves die."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from jaxvision.data.loader import naming_lost_workers
from jaxvision.data.timeout import Stalled

pytestmark = pytest.mark.xdist_group("processes")
ROOT = Path(__file__).resolve().parents[2]
# Waits in C, which no handler of Python's interrupts, as a compilation does.
WAITING = """
    import ctypes, signal, sys
    from jaxvision.training.early_stop import EarlyStop

    def wait():
        print("waiting", flush=True)
        while True:
            ctypes.CDLL(None).usleep(60_000_000)
"""


def start(code: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WAITING) + textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and nobody waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_with_nothing_unsaved_ends_a_wait_in_c(number):
    process = start("with EarlyStop('jaxvision train'): wait()")
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 75
    assert err == "jaxvision: stopped with nothing unsaved; to go on, run again: jaxvision train\n"


def test_the_first_signal_is_anothers_and_the_second_ends_at_once():
    process = start("""
        with EarlyStop("jaxvision train"):
            signal.signal(signal.SIGINT, lambda *_: print("saving", flush=True))
            print("waiting", flush=True)
            while True:
                signal.sigtimedwait([signal.SIGUSR1], 0.05)
    """)
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "saving\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 75
    (line,) = err.splitlines()
    assert "stopped at once; from the last save on, run again: jaxvision train" in line


def test_closed_it_leaves_signals_as_they_were():
    process = start("""
        with EarlyStop("jaxvision train") as early:
            early.close()
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
            wait()
    """)
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGTERM


def test_a_worker_ends_with_a_parent_that_was_killed(tmp_path):
    (tmp_path / "worker.py").write_text(
        textwrap.dedent("""
            import multiprocessing, time
            from jaxvision.data.worker import end_with_parent

            def work():
                end_with_parent()
                end_with_parent()
                time.sleep(600)

            if __name__ == "__main__":
                worker = multiprocessing.get_context("spawn").Process(target=work)
                worker.start()
                print(worker.pid, flush=True)
                time.sleep(600)
        """)
    )
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "worker.py")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    worker = int(process.stdout.readline())
    assert alive(worker)
    process.kill()
    process.communicate()
    end = time.monotonic() + 60
    while alive(worker):
        assert time.monotonic() < end, "the worker outlives its parent"
        time.sleep(0.05)


def test_a_lost_worker_is_named_with_what_it_was_to_bring():
    def items():
        yield 0
        raise RuntimeError("Worker process was terminated unexpectedly with exit code -9.")

    found = naming_lost_workers(items(), lambda count: ("data worker 1", f"at batch {count}"))
    assert next(found) == 0
    with pytest.raises(Stalled, match="data worker 1 was lost at batch 1"):
        next(found)
