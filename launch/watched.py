"""A launch whose output is read and whose processes can be killed, for tests and benchmarks."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class Launch:
    """`launch.local` running a command in several processes; `lines` is their output."""

    def __init__(
        self,
        *command: str,
        processes: int = 2,
        devices: int = 1,
        environment: Mapping[str, str] | None = None,
    ):
        options = (f"--processes={processes}", f"--devices-per-process={devices}")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "launch.local", *options, "--", *command],
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "XLA_FLAGS": "--xla_backend_optimization_level=0",
                **(environment or {}),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)

    def finish(self, seconds: float = 300) -> tuple[int, str]:
        """(exit status, the output)."""
        status = self.process.wait(seconds)
        self._reader.join(timeout=10)
        return status, "".join(self.lines)

    def wait_for(self, condition: Callable[[], bool], seconds: float = 300) -> bool:
        """Wait until `condition` holds; False where the launch ended before."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None:
                return False
            if time.monotonic() > deadline:
                raise TimeoutError("".join(self.lines))
            time.sleep(0.005)
        return True

    def kill(self, number: int) -> bool:
        """SIGKILL process `number`; False where it has ended.

        Linux only: reads /proc.
        """
        own = self.process.pid
        wanted = f"JAX_PROCESS_ID={number}".encode()
        children = Path(f"/proc/{own}/task/{own}/children")
        for pid in children.read_text().split() if children.exists() else ():
            with contextlib.suppress(OSError):
                if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    os.kill(int(pid), signal.SIGKILL)
                    return True
        return False
