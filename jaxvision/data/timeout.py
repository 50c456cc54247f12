"""A time limit on waiting for data."""

import signal
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class Stalled(Exception):
    """Nothing came within the time allowed, or who was to bring it was lost. The message is one
    line: who was to bring what.

    The reader may still be running, and Python cannot end a thread: the process can only exit.
    """


def with_timeout(
    iterator: Iterator[Item], seconds: float, waiting_for: Callable[[int], str]
) -> Iterator[Item]:
    """The items of `iterator`; Stalled where one takes longer than `seconds`.

    waiting_for: (number of items before it) -> who was to bring it, and what it is.
    The wait is interrupted by SIGALRM, which only the main thread receives: other threads wait
    without a limit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield from iterator
        return
    count, end = 0, object()

    def stop(number: int, frame: object) -> None:
        raise Stalled(f"{waiting_for(count)}: nothing for {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    try:
        while True:
            # And every second after it: one that comes just before a wait does not end it.
            signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
            try:
                item = next(iterator, end)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            if item is end:
                return
            yield item  # type: ignore[misc]
            count += 1
    finally:
        signal.signal(signal.SIGALRM, before)
