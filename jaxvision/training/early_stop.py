"""Signals that come while nothing is unsaved: before the first step, in compilation too.

Python's handlers run between two instructions of the main thread, so not while XLA compiles, for
minutes; the byte that the interpreter's own handler writes to a pipe arrives at once.
"""

import multiprocessing
import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

EXIT_PREEMPTED = 75


class EarlyStop:
    """From `with` on, SIGTERM and SIGINT end this process with 75 at once.

    While others handle them (`StopSignal`, once there are steps to lose), the first is theirs, and
    a second one ends the process at once.  again: the command that goes on with the run.
    """

    def __init__(self, again: str):
        self._again = again
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "EarlyStop":
        if threading.current_thread() is not threading.main_thread():
            return self  # only the main thread may handle signals
        read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._ignore)
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(read,), daemon=True, name="early stop").start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the signals to those who had them before."""
        if not self._previous:
            return
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous = {}
        os.close(self._write)  # which ends the thread

    def _ignore(self, number: int, frame: FrameType | None) -> None:
        """The thread answers. (Ignored signals would write nothing to the pipe.)"""

    def _watch(self, read: int) -> None:
        passed_on = 0
        while data := os.read(read, 64):
            for number in data:
                if number not in self._previous:
                    continue
                if signal.getsignal(number) == self._ignore:
                    self._end(f"stopped with nothing unsaved; to go on, run again: {self._again}")
                passed_on += 1
                if passed_on > 1:
                    self._end(f"stopped at once; from the last save on, run again: {self._again}")
        os.close(read)

    def _end(self, line: str) -> NoReturn:
        end_at_once(line, EXIT_PREEMPTED)


def end_at_once(line: str, status: int) -> NoReturn:
    """Say why, and end with the worker processes, whatever other threads do."""
    flushing = threading.Thread(target=sys.stdout.flush, daemon=True)
    flushing.start()
    flushing.join(timeout=1)  # another thread may hang in a write
    os.write(2, f"jaxvision: {line}\n".encode())
    for worker in multiprocessing.active_children():
        worker.kill()
    os._exit(status)
