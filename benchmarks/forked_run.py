"""Runs of the command line in processes forked from one that has imported the library already: a
start costs a second or two, not ten.

Whoever forks must not have used JAX: its threads would be missing in the fork. So what a benchmark
computes itself goes into a fork, too.
"""

import atexit
import contextlib
import gc
import multiprocessing
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from launch.local import die_with_parent, environment, free_port

FORK = multiprocessing.get_context("fork")
# Nothing has used JAX before the fork; JAX warns of every one.
warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called", category=RuntimeWarning)


def import_all() -> None:
    """What a run of VideoMAE's demo imports, before the first fork."""
    import tensorboardX  # noqa: F401

    import jaxvision.cli.train
    import jaxvision.data.pictures
    import jaxvision.loading
    import jaxvision.methods.videomae.task
    import jaxvision.training.loop
    import jaxvision.training.rendezvous  # noqa: F401


class ForkedRun:
    """`jaxvision ARGUMENTS` in `processes` processes, what they say in `log`.

    devices: simulated, per process.  variables: of the environment.  before: called in each process
    before the command.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        *,
        processes: int = 1,
        devices: int = 1,
        variables: Mapping[str, str] | None = None,
        before: Callable[[], None] | None = None,
    ):
        port = free_port() if processes > 1 else 0
        place = {"count": processes, "devices": devices, "platform": "cpu", "port": port}
        self._processes = []
        for number in range(processes):
            settings = {**environment(os.environ, number, **place), **(variables or {})}
            if processes == 1:
                settings = {k: v for k, v in settings.items() if not k.startswith("JAX_COORD")}
                del settings["JAX_NUM_PROCESSES"], settings["JAX_PROCESS_ID"]
            work = (list(arguments), settings, log, os.getpid(), before)
            self._processes.append(FORK.Process(target=run_command, args=work))
        for process in self._processes:
            process.start()

    def __enter__(self) -> "ForkedRun":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill(range(len(self._processes)))

    def status(self) -> int | None:
        """0 where all ended well, else the first other exit status; None while one is running."""
        codes = [process.exitcode for process in self._processes]
        return None if None in codes else next(filter(None, codes), 0)

    def wait_for(self, due: Callable[[], bool], seconds: float) -> bool:
        """Wait until `due`; False where all ended before. TimeoutError after `seconds`."""
        deadline = time.monotonic() + seconds
        while not due():
            if self.status() is not None:
                return False
            if time.monotonic() > deadline:
                raise TimeoutError(f"nothing for {seconds:g} s")
            time.sleep(0.005)
        return True

    def finish(self, seconds: float) -> int:
        """The exit status."""
        self.wait_for(lambda: False, seconds)
        return self.status() or 0

    def kill(self, numbers: Iterable[int], grace: float = 0.0) -> bool:
        """SIGKILL these processes and their children; the others are asked to stop, and killed
        after `grace` seconds. False where one of them had ended before. None is left."""
        chosen = [self._processes[number] for number in numbers]
        in_time = all(process.exitcode is None for process in chosen)
        _end(chosen)
        others = [process for process in self._processes if process not in chosen]
        for process in others:
            process.terminate()
        deadline = time.monotonic() + grace
        for process in others:
            process.join(max(0.0, deadline - time.monotonic()))
        _end(others)
        return in_time


def _end(processes: Iterable[multiprocessing.process.BaseProcess]) -> None:
    for process in processes:
        # Each leads a group of its own; one that has just been forked does not yet.
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if process.pid is not None and process.exitcode is None:
                    kill(process.pid, signal.SIGKILL)
        process.join()


def end_with(parent: int) -> None:
    """In a new process: end when `parent` ends, however that happens."""
    arrange = die_with_parent()
    if arrange is not None:
        arrange()
    if os.getppid() != parent:  # it ended before that
        os._exit(1)


def run_command(
    arguments: Sequence[str],
    settings: Mapping[str, str],
    log: Path,
    parent: int,
    before: Callable[[], None] | None,
) -> None:
    """In the new process: `jaxvision ARGUMENTS`, and an end as that of a program."""
    os.setsid()
    end_with(parent)
    gc.disable()  # it would walk through all that was imported, again and again
    os.environ.clear()
    os.environ.update(settings)
    with log.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["jaxvision", *arguments]
    status = 1
    try:
        from jaxvision.cli.main import main

        if before is not None:
            before()
        status = main(arguments)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    atexit._run_exitfuncs()
    os._exit(status)
