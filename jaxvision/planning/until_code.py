"""A training step compiled until its code, by when all else that a plan tells is known.

XLA generates a program's code last, when its operations and their memory are settled, and for many
different convolutions that takes it minutes: LinK's 0.1 m detector is settled after half a minute
on a TPU, and its code is not complete after twelve. No option ends a compilation there. So it runs
in a process of its own, which writes what is settled (`xla_dump_to`) and is ended when that is
written. Checked with JAX 0.10.2, 0.11.2 and 0.12.0.1.
"""

import multiprocessing
import re
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import jax
from ml_collections import ConfigDict

from jaxvision.errors import InputError
from jaxvision.planning.compile import (
    CompiledStep,
    Program,
    abstract_program,
    capacity,
    lower,
    options,
    too_large,
)
from jaxvision.planning.topologies import Topology, describe
from jaxvision.training.task import Task

PROGRAM, MEMORY = "*after_optimizations.txt", "*after_optimizations-buffer-assignment.txt"
# What each compiler writes after those two, and after it has compared memory with what there is.
AFTERWARDS = {
    "tpu": "*after_optimizations_after_buffer_assignment.txt",
    "cuda": "*after_optimizations-memory-usage-report.txt",
}
ALLOCATION = re.compile(r"^allocation \d+: size (\d+),(.*)", re.MULTILINE)
PAUSE = 0.1  # seconds between looks


@dataclass(frozen=True)
class Order:
    """What to compile, as another process can be told it."""

    config: ConfigDict
    make_task: Callable[[ConfigDict], Task]
    topology: Topology
    records: int
    bucket: str


def build_until_code(program: Program, bucket: str) -> CompiledStep:
    """`build` without the code. InputError where the compiler ends the process it works in."""
    started = time.perf_counter()
    order = Order(program.config, program.make_task, program.topology, program.records, bucket)
    spawn = multiprocessing.get_context("spawn")
    answers, said = spawn.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as name, answers:
        folder = Path(name)
        process = spawn.Process(target=_compile, args=(order, folder, said), daemon=True)
        process.start()
        said.close()
        try:
            counted, error = _wait(process, answers, folder, program.topology)
        finally:
            process.kill()
            process.join()
        if error is not None:
            return too_large(program, bucket, error, counted, started)
        text = _only(folder, PROGRAM).read_text()
        memory = _only(folder, MEMORY).read_text()
    arguments, temporaries = allocated(memory, program.topology.chip.platform)
    return CompiledStep(
        bucket=bucket,
        text=text,
        arguments=arguments,
        temporaries=temporaries,
        code=0.0,
        capacity=capacity(program),
        counted=counted,
        seconds=time.perf_counter() - started,
    )


def _compile(order: Order, folder: Path, said: Connection) -> None:
    """In a process of its own: says how many operations it counted, and why it failed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    machine = (order.topology, describe(order.topology), order.records)
    program = abstract_program(order.config, order.make_task, *machine)
    lowered, counted = lower(program, order.bucket)
    said.send(counted)
    dump: dict[str, str | bool] = {"xla_dump_to": str(folder), "xla_dump_hlo_as_text": True}
    try:
        lowered.compile({**options(program), **dump})
    except jax.errors.JaxRuntimeError as error:
        said.send(str(error))


def _wait(
    process: BaseProcess, answers: Connection, folder: Path, topology: Topology
) -> tuple[float, str | None]:
    """(operations, None) when memory is assigned, or (operations, the compiler's error)."""

    def assigned() -> bool:
        return any(folder.glob(AFTERWARDS[topology.chip.platform]))

    counted = 0.0
    try:
        counted = answers.recv()
        while not assigned():
            if answers.poll(PAUSE):
                return counted, answers.recv()
    except EOFError:  # the process has ended
        if not assigned():
            process.join()
            raise InputError(
                f"topology {topology.name!r}: the compiler ended its process (exit status "
                f"{process.exitcode}) before it assigned memory"
            ) from None
    return counted, None


def _only(folder: Path, pattern: str) -> Path:
    (file,) = folder.glob(pattern)
    return file


def allocated(text: str, platform: str) -> tuple[float, float]:
    """Bytes of a device's memory that a compiler assigned to (arguments, all else).

    text: as XLA writes its buffer assignment. ValueError where it assigns nothing to arguments.
    """
    arguments = others = 0.0
    for size, words in ALLOCATION.findall(text):
        # Memories on a TPU's chip have a colour. Constants are the code's, and what is local to a
        # thread is its registers'.
        on_chip = platform == "tpu" and " color " in words
        if on_chip or " constant" in words or " thread-local" in words:
            continue
        if "parameter " in words:
            arguments += float(size)
        else:
            others += float(size)
    if not arguments:
        raise ValueError("no argument in the compiler's buffer assignment")
    return arguments, others
