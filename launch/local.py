"""Several processes on one machine, over loopback.

    python -m launch.local --processes 4 --devices-per-process 2 -- jaxvision train ...

Every line is prefixed with the number of the process that wrote it. When a process is lost it is
named and the others are stopped; SIGTERM and SIGINT go to all of them.

exit status: 0 where all finished, 75 where they were preempted (run again to resume), otherwise
that of the process lost first, 128 + the signal where a signal ended it.
"""

import argparse
import contextlib
import ctypes
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, TextIO

EXIT_PREEMPTED = 75
# Seconds of one wait: a signal that comes just before a wait is answered only after it.
STEP = 0.2
PR_SET_PDEATHSIG = 1  # prctl: the signal a process gets when its parent ends


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command after `--` in several processes; returns the exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    split = argv.index("--") if "--" in argv else len(argv)
    arguments = make_parser().parse_args(argv[:split])
    command = argv[split + 1 :]
    if not command:
        print("launch: error: no command; give one after --", file=sys.stderr)
        return 2
    if arguments.processes < 1 or arguments.devices_per_process < 1:
        print("launch: error: at least one process and one device each", file=sys.stderr)
        return 2
    if command[0] == "jaxvision":  # of this interpreter, whatever PATH says
        command = [sys.executable, "-m", "jaxvision", *command[1:]]
    if shutil.which(command[0]) is None:
        print(f"launch: error: no program {command[0]!r}", file=sys.stderr)
        return 2
    port = free_port()
    environments = [
        environment(
            os.environ,
            number,
            arguments.processes,
            devices=arguments.devices_per_process,
            platform=arguments.platform,
            port=port,
        )
        for number in range(arguments.processes)
    ]
    return Group(command, environments, arguments.grace).run()


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m launch.local",
        usage="%(prog)s [options] -- command ...",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--processes", type=int, required=True, metavar="N")
    parser.add_argument(
        "--devices-per-process",
        type=int,
        default=1,
        metavar="K",
        help="simulated devices on a CPU; on GPUs, process n takes numbers n*K to n*K+K-1",
    )
    parser.add_argument("--platform", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--grace",
        type=float,
        default=10,
        metavar="SECONDS",
        help="from asking the others to stop, after one is lost, to killing them",
    )
    return parser


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(
    inherited: Mapping[str, str],
    number: int,
    count: int,
    *,
    devices: int,
    platform: str,
    port: int,
) -> dict[str, str]:
    """The environment of process `number` of `count`, with `devices` devices of its own."""
    address = f"127.0.0.1:{port}"
    settings = {
        "JAX_COORDINATOR_ADDRESS": address,
        "JAX_COORDINATOR_BIND_ADDRESS": address,  # other machines cannot connect
        "JAX_NUM_PROCESSES": str(count),
        "JAX_PROCESS_ID": str(number),
        "JAX_PLATFORMS": platform,
        "PYTHONUNBUFFERED": "1",
    }
    if platform == "cpu":
        flag = "--xla_force_host_platform_device_count"
        others = [word for word in inherited.get("XLA_FLAGS", "").split() if flag not in word]
        settings["XLA_FLAGS"] = " ".join([*others, f"{flag}={devices}"])
    else:
        mine = range(number * devices, (number + 1) * devices)
        settings["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, mine))
    return {**inherited, **settings}


class Group:
    """The processes of one launch.

    command: what each runs.  environments: one per process.  grace: seconds from SIGTERM to SIGKILL
    once a process is lost.
    """

    def __init__(
        self, command: Sequence[str], environments: Sequence[Mapping[str, str]], grace: float
    ):
        self._grace = grace
        self._exits: queue.Queue[tuple[int, int]] = queue.Queue()  # (number, status)
        self._passed_on: set[int] = set()  # signals passed on to the processes
        self._output_lock = threading.Lock()
        # All are started before the first thread: what runs between fork and exec needs that.
        self._processes = [
            subprocess.Popen(
                command,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                # Of its own, or a Ctrl-C in the terminal would reach it twice.
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
            for env in environments
        ]

    def run(self) -> int:
        """Wait for all of them; returns the exit status."""
        previous = {
            number: signal.signal(number, self._pass_on)
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        threads = [
            threading.Thread(target=work, args=arguments, daemon=True)
            for number, process in enumerate(self._processes)
            for work, arguments in (
                (self._copy, (number, process.stdout, sys.stdout)),
                (self._copy, (number, process.stderr, sys.stderr)),
                (self._watch, (number, process)),
            )
        ]
        for thread in threads:
            thread.start()
        try:
            return self._wait()
        finally:
            for thread in threads:
                thread.join(timeout=5)
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _wait(self) -> int:
        running = set(range(len(self._processes)))
        answer, deadline = 0, None
        while running:
            left = STEP if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                number, status = self._exits.get(timeout=min(left, STEP))
            except queue.Empty:
                if left >= STEP:
                    continue
                self._say(f"killing {_names(running)}: still running after {self._grace:g} s")
                for other in running:
                    self._kill(other)
                deadline = None
                continue
            running.discard(number)
            self._kill(number)  # and its own children
            if status == 0 or answer not in (0, EXIT_PREEMPTED):
                continue
            answer = status if status > 0 else 128 - status
            if status == EXIT_PREEMPTED:
                continue
            self._say(f"process {number} {self._describe_exit(status)}")
            if running:
                self._say(f"stopping {_names(running)}")
                deadline = time.monotonic() + self._grace
                self._signal(signal.SIGTERM)
        return answer

    def _describe_exit(self, status: int) -> str:
        if status > 0:
            return f"ended with exit status {status}"
        name = signal.Signals(-status).name
        if -status in self._passed_on:
            return f"was stopped by {name} before it could save"
        return f"was lost: ended by {name}"

    def _watch(self, number: int, process: subprocess.Popen) -> None:
        self._exits.put((number, process.wait()))

    def _copy(self, number: int, source: IO[str], target: TextIO) -> None:
        for line in source:
            with self._output_lock:
                target.write(f"[{number}] {line.rstrip(chr(10))}\n")
                target.flush()

    def _say(self, text: str) -> None:
        with self._output_lock:
            print(f"launch: {text}", file=sys.stderr, flush=True)

    def _pass_on(self, number: int, frame: object) -> None:
        self._passed_on.add(number)
        self._signal(number)

    def _signal(self, signal_number: int) -> None:
        """To the processes alone, which stop their own children."""
        for process in self._processes:
            process.send_signal(signal_number)  # nothing where it has ended

    def _kill(self, number: int) -> None:
        """Process `number` and its children."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._processes[number].pid, signal.SIGKILL)


def _names(numbers: set[int]) -> str:
    word = "process" if len(numbers) == 1 else "processes"
    return f"{word} {', '.join(map(str, sorted(numbers)))}"


def die_with_parent() -> Callable[[], None] | None:
    """For a new process to call: SIGKILL it when this one ends, however that happens."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def arrange() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    return arrange


if __name__ == "__main__":
    sys.exit(main())
