"""Stopping on SIGTERM or SIGINT, between steps: at the same one on every host."""

import os
import signal
from types import FrameType

import jax
from jax.experimental import multihost_utils


class Preempted(Exception):
    """The run was asked to stop and has saved its state; run the same command to go on."""

    def __init__(self, step: int):
        super().__init__(f"preempted after step {step}")
        self.step = step


class StopSignal:
    """Remembers that this process was told to stop; `agreed(step)` says whether all stop here.

    With several processes, JAX's coordination service catches SIGTERM on any of them and picks a
    step that none has passed. SIGINT is passed on as SIGTERM. A second signal ends at once.
    """

    def __init__(self):
        self._asked = False
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "StopSignal":
        self._distributed = jax.process_count() > 1
        # The coordination service owns SIGTERM where there are several processes.
        for number in (signal.SIGINT,) if self._distributed else (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        if self._distributed:
            os.kill(os.getpid(), signal.SIGTERM)

    @property
    def asked(self) -> bool:
        """Whether this process was told to stop, and is the only one of the run: it need not agree
        with others on when."""
        return self._asked and not self._distributed

    def agreed(self, step: int) -> bool:
        if self._distributed:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._asked
