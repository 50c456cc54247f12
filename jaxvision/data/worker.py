"""Data workers that end with the process that started them."""

import functools
import multiprocessing
import os
import threading
from multiprocessing.connection import wait


@functools.cache
def end_with_parent() -> None:
    """In a worker process: end as soon as the parent has ended, however it did. A killed parent
    cannot tell its workers, which would wait for it with all they have read."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end with parent").start()
