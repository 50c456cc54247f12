"""Waiting for data, but not for ever."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


class Stalled(Exception):
    """No batch came within the time allowed. The message is one line: who was to bring what.

    Whoever reads is still at it, and a thread cannot be ended: after this the process can only end.
    """


def within(
    iterator: Iterator[Item], seconds: float, waiting_for: Callable[[int], str]
) -> Iterator[Item]:
    """The items of `iterator`; Stalled where one takes longer than `seconds` to come.

    waiting_for: (how many came before it) -> who was to bring it, and what it is.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="data")
    end, count = object(), 0
    try:
        while True:
            following = pool.submit(next, iterator, end)
            try:
                item = following.result(seconds)
            except TimeoutError:
                if following.done():  # the iterator's own
                    raise
                raise Stalled(f"{waiting_for(count)}: nothing for {seconds:g} s") from None
            if item is end:
                return
            yield item  # type: ignore[misc]
            count += 1
    finally:
        pool.shutdown(wait=False)
