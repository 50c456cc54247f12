"""A training step compiled until its code, by when all else that a plan tells is known.

XLA generates a program's code last, when its operations and their memory are settled, and for many
different convolutions that takes it minutes: LinK's 0.1 m detector is settled after half a minute
on a TPU, and its code is not complete after twelve. No option ends a compilation there. So it runs
in a process of its own, which writes what is settled (`xla_dump_to`) and is ended when that is
written. Checked with JAX 0.10.2, 0.11.2 and 0.12.0.1.
"""

import os
import pickle
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
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
ORDER, COUNTED, ERROR = "order.pickle", "counted.txt", "error.txt"


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
    started, machine = time.perf_counter(), program.topology
    order = Order(program.config, program.make_task, machine, program.records, bucket)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ordered, counted, error = (folder / said for said in (ORDER, COUNTED, ERROR))
        ordered.write_bytes(pickle.dumps(order))
        process = subprocess.Popen(
            [sys.executable, "-c", f"import {__name__} as there; there.compile_in({name!r})"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        try:
            while process.poll() is None and not _has_assigned(folder, machine):
                time.sleep(PAUSE)
        finally:
            process.kill()
            process.wait()
        if error.exists():
            operations = float(counted.read_text())
            return too_large(program, bucket, error.read_text(), operations, started)
        if not _has_assigned(folder, machine):
            raise InputError(
                f"topology {machine.name!r}: the compiler ended its process (exit status "
                f"{process.returncode}) before it assigned memory"
            )
        operations = float(counted.read_text())
        text = _only(folder, PROGRAM).read_text()
        memory = _only(folder, MEMORY).read_text()
    arguments, temporaries = allocated(memory, machine.chip.platform)
    return CompiledStep(
        bucket=bucket,
        text=text,
        arguments=arguments,
        temporaries=temporaries,
        code=0.0,
        capacity=capacity(program),
        counted=operations,
        seconds=time.perf_counter() - started,
    )


def compile_in(folder: str) -> None:
    """In a process of its own: compiles what is ordered in `folder`, and writes there how many
    operations it counted and, last, why it failed."""
    here = Path(folder)
    order = pickle.loads((here / ORDER).read_bytes())
    machine = (order.topology, describe(order.topology), order.records)
    program = abstract_program(order.config, order.make_task, *machine)
    lowered, counted = lower(program, order.bucket)
    (here / COUNTED).write_text(str(counted))
    dump: dict[str, str | bool] = {"xla_dump_to": folder, "xla_dump_hlo_as_text": True}
    try:
        lowered.compile({**options(program), **dump})
    except jax.errors.JaxRuntimeError as error:
        (here / ERROR).write_text(str(error))


def _has_assigned(folder: Path, machine: Topology) -> bool:
    return any(folder.glob(AFTERWARDS[machine.chip.platform]))


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
