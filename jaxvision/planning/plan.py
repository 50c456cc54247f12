"""What one recipe needs on one machine: memory, time, utilisation, price."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import jax
from ml_collections import ConfigDict

from jaxvision.errors import InputError
from jaxvision.planning.collectives import Collective, collectives
from jaxvision.planning.compile import (
    CompiledStep,
    Program,
    abstract_program,
    build,
    devices_per_chip,
    with_settings,
)
from jaxvision.planning.hlo import parse
from jaxvision.planning.roofline import Roofline, roofline
from jaxvision.planning.topologies import Topology
from jaxvision.planning.traffic import bytes_moved, multiply_adds
from jaxvision.planning.until_code import build_until_code
from jaxvision.training.task import Task

DAY = 86400.0
# Records a second that one core decodes: a clip of 16 frames from H.264 of 340 x 256 (measured).
CLIPS_PER_CORE = 48.0
# As many as ImageNet has: a head is a small part of any step.
SOME_CLASSES = tuple(f"class {number}" for number in range(1000))


@dataclass(frozen=True)
class Assumptions:
    """What the compiler cannot know and the user says.

    records: of the data set, 0 = unknown.  host_network: bytes a second between slices or nodes,
    per host.  of_peak: share of the peak arithmetic rate.  decode_rate: records a second a core
    prepares, 0 = unknown.  price: of a chip for an hour.
    """

    records: int = 0
    host_network: float = 25e9
    of_peak: float = 1.0
    decode_rate: float = 0.0
    price: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is known of one bucket of a recipe on one topology. Figures are per chip, however many
    devices JAX makes of it.

    changes: settings that differ from the recipe's.  remedy: settings with which it would fit,
    where it does not.  peak: with the program's code where that was generated.
    measured_seconds, measured_peak: of a run on that machine, if there was one.
    """

    topology: str
    mesh: dict[str, int]
    bucket: str
    changes: dict[str, Any]
    fits: bool
    parameters: int
    chips: int
    hosts: int
    samples: int
    memory: dict[str, float]
    peak: float
    capacity: float
    counted_flops: float | None
    executed_flops: float
    compiled_flops: float | None = None
    hbm_bytes: float | None = None
    collectives: list[Collective] = field(default_factory=list)
    times: Roofline | None = None
    seconds: float | None = None
    bound: str | None = None
    utilisation: float | None = None
    samples_per_second: float | None = None
    cores_per_host: float | None = None
    steps: int | None = None
    days: float | None = None
    price: float | None = None
    remedy: dict[str, Any] = field(default_factory=dict)
    fallbacks: list[str] = field(default_factory=list)
    compile_seconds: float = 0.0
    measured_seconds: float | None = None
    measured_peak: float | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Target:
    """A topology and its devices to compile for."""

    topology: Topology
    devices: list[Any]

    @property
    def devices_per_chip(self) -> int:
        return max(len(self.devices) // self.topology.chips, 1)


class Planner:
    """Plans of one recipe. `compiled` counts compilations.

    code: each with its code, which is a part of a chip's memory, and most of the compiler's work.
    make_task: a function of a module: without the code, the compiler works in another process.
    """

    def __init__(
        self,
        config: ConfigDict,
        make_task: Callable[[ConfigDict], Task],
        assumptions: Assumptions,
        say: Callable[[str], None] = lambda text: None,
        *,
        code: bool = False,
    ):
        self.config, self.make_task, self.assumptions = config, make_task, assumptions
        self.build = build if code else build_until_code
        self.say, self.compiled, self.lacks_classes = say, 0, False

    def program(self, target: Target, changes: dict[str, Any]) -> Program:
        """Where the data that knows the classes is not here, with `SOME_CLASSES` of them."""
        config = with_settings(self.config, changes)
        machine = (target.topology, target.devices, self.assumptions.records)
        try:
            return abstract_program(config, self.make_task, *machine)
        except (InputError, OSError, ImportError):
            if not self._lacks_classes(config):
                raise
        return abstract_program(config, partial(with_some_classes, self.make_task), *machine)

    def _lacks_classes(self, config: ConfigDict) -> bool:
        try:
            _ = self.make_task(config).class_names
        except (InputError, OSError, ImportError) as error:
            if not self.lacks_classes:
                self.say(f"{error}\n{len(SOME_CLASSES):,} classes are taken for granted")
            self.lacks_classes = True
        return self.lacks_classes

    def plans(self, target: Target, changes: dict[str, Any]) -> Iterator[Plan]:
        """A plan for every bucket of the recipe with `changes`."""
        program = self.program(target, changes)
        shown = "".join(f", {key}={value}" for key, value in changes.items())
        for bucket in program.buckets:
            self.say(f"compiling {bucket!r} for {target.topology.name}{shown}")
            self.compiled += 1
            yield self.answer(program, self.build(program, bucket), changes)

    def answer(self, program: Program, built: CompiledStep, changes: dict) -> Plan:
        """Everything that follows from what the compiler said."""
        topology, mesh = program.topology, program.mesh
        per_chip = devices_per_chip(program)
        samples = program.rows(built.bucket)
        counted = program.task.flops("train")
        common: dict[str, Any] = dict(
            topology=topology.name,
            mesh=dict(mesh.shape),
            bucket=built.bucket,
            changes=changes,
            fits=built.fits,
            parameters=sum(leaf.size for leaf in jax.tree.leaves(program.target.params)),
            chips=topology.chips,
            hosts=topology.hosts,
            samples=samples,
            memory=memory_by_category(program, built, per_chip),
            peak=built.peak * per_chip,
            capacity=built.capacity * per_chip,
            counted_flops=counted,
            executed_flops=built.counted,
            fallbacks=[str(fallback) for fallback in program.fallbacks],
            compile_seconds=built.seconds,
        )
        if built.text is None:
            return Plan(**common)
        module = parse(built.text)
        sent = collectives(module, mesh)
        moved, compiled = bytes_moved(module), multiply_adds(module)
        # Kernels are opaque to the compiled text; the traced step knows them.
        flops = max(compiled, built.counted / mesh.devices.size)
        assumed = self.assumptions
        times = roofline(
            topology,
            mesh,
            flops=flops,
            bytes_moved=moved,
            collectives=sent,
            host_network=assumed.host_network,
            of_peak=assumed.of_peak,
        )
        seconds = times.seconds
        rate = samples / seconds
        useful = counted or built.counted
        days = program.steps * seconds / DAY if program.steps else None
        decode = assumed.decode_rate or default_decode_rate(program, built.bucket)
        records = program.config.train.batch_size / seconds
        return Plan(
            **common,
            compiled_flops=compiled * per_chip or None,  # cuBLAS's are not in the text
            hbm_bytes=moved * per_chip,
            collectives=sent,
            times=times,
            seconds=seconds,
            bound=times.bound,
            utilisation=useful / topology.chips / seconds / topology.chip.flops,
            samples_per_second=rate,
            cores_per_host=records / decode / topology.hosts if decode else None,
            steps=program.steps or None,
            days=days,
            price=days * 24 * topology.chips * assumed.price if days and assumed.price else None,
        )


def with_some_classes(make_task: Callable[[ConfigDict], Task], config: ConfigDict) -> Task:
    return replace(make_task(config), trained_names=SOME_CLASSES)


def memory_by_category(program: Program, built: CompiledStep, per_chip: int) -> dict[str, float]:
    """Bytes of a chip by what they hold. "padding" is what the chip's layout of arrays adds."""
    parts = {**program.state_bytes(), "batch": program.batch_bytes(built.bucket)}
    padding = built.arguments - sum(parts.values())
    if padding > 0:
        parts["padding"] = padding
    parts["activations and gradients"] = built.temporaries
    if built.code:
        parts["program"] = built.code
    return {name: size * per_chip for name, size in parts.items()}


def default_decode_rate(program: Program, bucket: str) -> float:
    """Of videos from files, as measured; of anything else nothing is known."""
    video = any(len(s.shape) == 5 for s in program.task.batch_specs("train")[bucket].values())
    files = program.config.data.get("name", "") in ("videos", "files", "tfds")
    return CLIPS_PER_CORE if video and files else 0.0
