"""The real training step of a recipe, compiled for machines that are not here."""

import re
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jax.stages import Compiled, Lowered
from ml_collections import ConfigDict

from jaxvision.errors import InputError
from jaxvision.planning.flops import count
from jaxvision.planning.topologies import Topology
from jaxvision.training.config import check_choices
from jaxvision.training.mesh import make_mesh
from jaxvision.training.run import (
    abstract_batch,
    abstract_state,
    batches_of,
    bucket_sources,
    jitted_step,
)
from jaxvision.training.sharding import Fallback, check_batch
from jaxvision.training.state import TrainState
from jaxvision.training.task import Task

# An epoch's steps where nobody knows the number of records: schedules need some number, and the
# compiled program is the same for any.
SOME_STEPS = 1000
# Products that XLA writes itself instead of calling cuBLAS are tuned on a GPU, and there is none.
OPTIONS = {"cuda": {"xla_gpu_enable_triton_gemm": False, "xla_gpu_autotune_level": 0}}
SIZE = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
# The compiler's words, at an early check and at its work's end; both totals hold the arguments.
TOO_MUCH = (
    re.compile(r"\(([\d.]+)([KMGT]?)\) exceeds available HBM \(([\d.]+)([KMGT]?)\)"),
    re.compile(r"[Uu]sed ([\d.]+)([KMGT]?) of ([\d.]+)([KMGT]?) hbm"),
)


@dataclass(frozen=True, kw_only=True)
class Program:
    """A training step before it is compiled: everything is a shape with a sharding.

    records: of the data set, as given to `abstract_program`, with `make_task`.
    steps: of the whole recipe; 0 where the number of records is unknown.
    """

    config: ConfigDict
    make_task: Callable[[ConfigDict], Task]
    topology: Topology
    records: int
    task: Task
    mesh: Mesh
    target: TrainState
    jitted: Any
    fallbacks: list[Fallback]
    steps: int

    @property
    def buckets(self) -> list[str]:
        """Names of the buckets, but one of those whose batches have the same shapes."""
        specs = self.task.batch_specs("train")
        names = list(specs)
        return [
            name
            for place, name in enumerate(names)
            if all(specs[name] != specs[earlier] for earlier in names[:place])
        ]

    def rows(self, bucket: str) -> int:
        """Samples of a step, over all chips."""
        return next(iter(self.task.batch_specs("train")[bucket].values())).shape[0]

    def state_bytes(self) -> dict[str, float]:
        """Bytes of the state on one device, by category."""
        state = self.target
        parts = {
            "parameters": state.params,
            "frozen parameters": state.frozen,
            "optimizer": state.optimizer,
            "average": state.ema,
            "other state": state.collections,
        }
        sizes = {name: device_bytes(tree) for name, tree in parts.items()}
        return {name: size for name, size in sizes.items() if size}

    def batch_bytes(self, bucket: str) -> float:
        return device_bytes(abstract_batch(self.task.batch_specs("train")[bucket], self.mesh))


@dataclass(frozen=True, kw_only=True)
class CompiledStep:
    """What the compiler answered for one bucket. Bytes are of one device.

    text: the compiled program; None where it did not fit.  temporaries: with results that do not
    take an argument's place.  code: 0 where none was generated.  capacity: bytes the compiler may
    use.  peak: all of these; where it did not fit, what the compiler would have used.
    counted: operations of the traced step, over all devices.
    """

    bucket: str
    text: str | None
    arguments: float
    temporaries: float
    code: float
    capacity: float
    counted: float
    seconds: float

    @property
    def peak(self) -> float:
        return self.arguments + self.temporaries + self.code

    @property
    def fits(self) -> bool:
        return self.text is not None and self.peak <= self.capacity


def device_bytes(tree: Any) -> float:
    """Bytes of one device's part of a tree of shapes with shardings."""
    return float(
        sum(
            np.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
            for leaf in jax.tree.leaves(tree)
            if not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        )
    )


def abstract_program(
    config: ConfigDict,
    make_task: Callable[[ConfigDict], Task],
    topology: Topology,
    devices: list[Any],
    records: int = 0,
) -> Program:
    """The step of `config` on the devices of `topology`.

    records: of the data set; 0 = ask the recipe's source, if its data is here. InputError where the
    mesh does not tile the topology or the batch does not divide.
    """
    check_choices(config)
    task = make_task(config)
    try:
        mesh = make_mesh(config.mesh.to_dict(), devices)
    except InputError as error:
        raise InputError(f"topology {topology.name!r}: {error}") from None
    specs = task.batch_specs("train")
    check_batch(specs, mesh)
    parts = mesh.shape["data"] * mesh.shape["fsdp"]
    rows, micro = next(iter(next(iter(specs.values())).values())).shape[0], config.train.accumulate
    if rows // micro % parts:
        raise InputError(
            f"topology {topology.name!r}: a micro-batch of {rows}/{micro} does not divide over "
            f"data x fsdp = {parts} devices; change train.accumulate, train.batch_size or mesh"
        )
    known = max(records // config.train.batch_size, 1) if records else batches_here(task)
    per_epoch = known or SOME_STEPS
    steps = config.train.steps or round(config.train.epochs * per_epoch)
    optimizer, target, fallbacks = abstract_state(task, config, mesh, steps, per_epoch)
    return Program(
        config=config,
        make_task=make_task,
        topology=topology,
        records=records,
        task=task,
        mesh=mesh,
        target=target,
        jitted=jitted_step(task, config, optimizer, target),
        fallbacks=fallbacks,
        steps=steps if known or config.train.steps else 0,
    )


def batches_here(task: Task) -> int:
    """Training batches an epoch; 0 where the data is not on this machine."""
    try:
        return batches_of(bucket_sources(task, "train"))
    except (InputError, OSError, ImportError):
        return 0


def build(program: Program, bucket: str) -> CompiledStep:
    """Compile the step of a bucket, with its code. Out of memory is an answer, not an error."""
    started = time.perf_counter()
    lowered, counted = lower(program, bucket)
    try:
        compiled, text = compiled_with_text(lowered, options(program))
    except jax.errors.JaxRuntimeError as error:
        return too_large(program, bucket, str(error), counted, started)
    memory = compiled.memory_analysis()
    assert memory is not None
    new_outputs = memory.output_size_in_bytes - memory.alias_size_in_bytes
    return CompiledStep(
        bucket=bucket,
        text=text,
        arguments=float(memory.argument_size_in_bytes),
        temporaries=float(memory.temp_size_in_bytes + new_outputs),
        code=float(memory.generated_code_size_in_bytes),
        capacity=capacity(program),
        counted=counted,
        seconds=time.perf_counter() - started,
    )


def lower(program: Program, bucket: str) -> tuple[Lowered, float]:
    """The step of a bucket as the compiler is given it, and its operations over all devices."""
    fields = program.task.batch_specs("train")[bucket]
    with jax.set_mesh(program.mesh):
        traced = program.jitted.trace(program.target, abstract_batch(fields, program.mesh))
        return traced.lower(), count(traced.jaxpr)


def options(program: Program) -> Mapping[str, Any]:
    """Of the compiler for the program's machine."""
    return OPTIONS.get(program.topology.chip.platform, {})


def capacity(program: Program) -> float:
    """Bytes of memory of one device."""
    return program.topology.chip.hbm / devices_per_chip(program)


def too_large(
    program: Program, bucket: str, message: str, counted: float, started: float
) -> CompiledStep:
    """What a compiler's `message` says of a program that did not fit.

    JaxRuntimeError where it says something else.
    """
    if "RESOURCE_EXHAUSTED" not in message:
        raise jax.errors.JaxRuntimeError(message)
    used, limit = exhausted(message)
    arguments = sum(program.state_bytes().values()) + program.batch_bytes(bucket)
    return CompiledStep(
        bucket=bucket,
        text=None,
        arguments=arguments,
        temporaries=max(used - arguments, 0.0),
        code=0.0,
        capacity=limit or capacity(program),
        counted=counted,
        seconds=time.perf_counter() - started,
    )


def compiled_with_text(lowered: Lowered, options: Mapping[str, Any]) -> tuple[Compiled, str]:
    """The compiled program, and its text as the compiler itself writes it.

    JAX cannot read every TPU program back (0.10.2 not some whose sparse cores scatter, met on v5p
    and v6e), so that `as_text` is asked only of a compiler that writes none.
    """
    with tempfile.TemporaryDirectory() as folder:
        dump: dict[str, str | bool] = {"xla_dump_to": folder, "xla_dump_hlo_as_text": True}
        compiled = lowered.compile({**options, **dump})
        texts = list(Path(folder).glob("*.after_optimizations.txt"))
        text = texts[0].read_text() if len(texts) == 1 else compiled.as_text()
    assert text is not None
    return compiled, text


def devices_per_chip(program: Program) -> int:
    """Devices that JAX sees of one chip."""
    return max(program.mesh.devices.size // program.topology.chips, 1)


def exhausted(message: str) -> tuple[float, float]:
    """(bytes needed, bytes there are) of the compiler's words "Used 20.52G of 15.75G hbm".

    Zeros where it does not say.
    """
    for words in TOO_MUCH:
        match = words.search(message)
        if match:
            needed, unit, limit, limit_unit = match.groups()
            return float(needed) * SIZE[unit], float(limit) * SIZE[limit_unit]
    return 0.0, 0.0


def with_settings(config: ConfigDict, changes: Mapping[str, Any]) -> ConfigDict:
    """A copy of `config` with {"a.b": value} set."""
    copy = ConfigDict(config.to_dict()).unlock()
    for key, value in changes.items():
        *parents, last = key.split(".")
        node = copy
        for parent in parents:
            node = node[parent]
        node[last] = value
    return copy.lock()
