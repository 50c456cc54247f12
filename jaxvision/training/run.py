"""A run, made ready: mesh, shapes, shardings, compiled steps, data."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxvision.data.loader import Schedule, TrainingBatches
from jaxvision.data.source import Source
from jaxvision.errors import InputError
from jaxvision.training import initialisation
from jaxvision.training.compilation import compiler_options
from jaxvision.training.mesh import make_mesh
from jaxvision.training.optimizer import Optimizer, make_optimizer
from jaxvision.training.sharding import (
    Fallback,
    batch_sharding,
    check_batch,
    put,
    rows_of_host,
)
from jaxvision.training.state import (
    TrainState,
    abstract_variables,
    make_state,
    parameter_groups,
    split_params,
    state_shardings,
    unboxed_init,
)
from jaxvision.training.step import Step, check_row_writes, make_step
from jaxvision.training.task import BatchSpecs, Evaluation, Task
from jaxvision.weights.mapping import flatten, unflatten

ReadWeights = Callable[[str], Mapping[str, Any]]


@dataclass(kw_only=True)
class Run:
    """Everything a training run needs that is decided before step 1."""

    task: Task
    config: ConfigDict
    mesh: Mesh
    steps: int
    steps_per_epoch: int
    data: TrainingBatches
    optimizer: Optimizer
    target: TrainState  # shapes and shardings of the state
    fallbacks: list[Fallback]
    seconds: dict[str, float] = field(default_factory=dict)  # of start-up, by phase
    evaluations: Mapping[str, Evaluation] | None = None  # the task's, once they have been made

    def initial_state(self, read_weights: ReadWeights) -> tuple[TrainState, list]:
        """Fresh variables created directly sharded, with the initialisation chain put in."""
        shardings = jax.tree.map(lambda x: x.sharding, self.target)
        key = jax.random.fold_in(jax.random.key(self.config.seed), 0x1217)
        groups = parameter_groups(self.task, self._params())

        def fresh():
            variables = unboxed_init(self.task, key)
            return make_state(variables, groups, self.optimizer, self.config)

        # It runs once: on a CPU half of its time was XLA optimising the draws of random numbers.
        quick = {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else None
        with jax.set_mesh(self.mesh):
            state = jax.jit(fresh, out_shardings=shardings, compiler_options=quick)()
        if not self.config.init:
            return state, []
        shapes = self._shapes()
        loaded, reports = initialisation.apply(
            shapes, self.config.init, read_weights, self.task.adapt
        )
        return self._with_values(state, flatten(loaded), shardings), reports

    def resumed(self, state: TrainState) -> TrainState:
        """The state of a checkpoint, as the task goes on from it."""
        collections = flatten(state.collections)
        for path, value in self.task.resumed(state.collections).items():
            collections[path] = put(value, collections[path].sharding)
        return state.replace(collections=unflatten(collections))

    def before_training(self, state: TrainState, say: Callable[[str], None]) -> "Run":
        """The run of the task that trains, given the weights: see `Task.before_training`."""
        started = time.perf_counter()
        task = self.task.before_training(state.variables(), self.mesh, say)
        if task is self.task:
            return self
        check_batch(task.batch_specs("train"), self.mesh, self.config.train.accumulate)
        data, _ = training_data(task, self.config, self.mesh, self.steps)
        self.seconds["features"] = time.perf_counter() - started
        return replace(self, task=task, data=data, evaluations=None)

    def _shapes(self) -> dict[str, Any]:
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), self.target.variables()
        )

    def _params(self) -> Mapping:
        return self._shapes()["params"]

    def _with_values(self, state: TrainState, values: Mapping, shardings: TrainState) -> TrainState:
        """`state` with the leaves of `values` that are arrays (the others stay)."""

        def replaced(tree, sharding, prefix):
            flat, where = dict(flatten(tree)), flatten(sharding)
            for path in flat:
                value = values.get(prefix + path)
                if isinstance(value, np.ndarray):
                    flat[path] = put(value.astype(flat[path].dtype), where[path])
            return unflatten(flat)

        params = replaced(state.params, shardings.params, "params/")
        collections = replaced(state.collections, shardings.collections, "")
        ema = {
            name: jax.tree.map(jnp.copy, params if name == "params" else collections[name])
            for name in state.ema
        }
        return state.replace(
            params=params,
            frozen=replaced(state.frozen, shardings.frozen, "params/"),
            collections=collections,
            ema=ema,
        )

    def compile(self) -> dict[str, Step]:
        """The step of every bucket, compiled (when debugging: as it comes)."""
        if self.config.debug:
            return dict.fromkeys(self.task.batch_specs("train"), self._debugged_step())
        started = time.perf_counter()
        step = jitted_step(self.task, self.config, self.optimizer, self.target)
        specs, options = self.task.batch_specs("train"), compiler_options(self.config)
        compiled = compile_by_bucket(step, self.target, specs, self.mesh, options=options)
        self.seconds["compile"] = time.perf_counter() - started
        return compiled

    def _debugged_step(self) -> Step:
        """Not compiled ahead and nothing donated: JAX then repeats a step that gave a NaN operation
        by operation, and names the first."""
        step = jax.jit(make_step(self.task, self.optimizer, self.config))

        def on_mesh(state: TrainState, batch: Mapping) -> Any:
            with jax.set_mesh(self.mesh):
                state, metrics = step(state, batch)
            check_row_writes(metrics)
            return state, metrics

        return on_mesh


def jitted_step(task: Task, config: ConfigDict, optimizer: Optimizer, target: TrainState) -> Any:
    """The training step under jit: the state keeps its shardings, and its memory is reused."""
    shardings = jax.tree.map(lambda x: x.sharding, target)
    step = make_step(task, optimizer, config)
    return jax.jit(step, donate_argnums=0, out_shardings=(shardings, None))


def abstract_batch(fields: Mapping[str, jax.ShapeDtypeStruct], mesh: Mesh) -> dict[str, Any]:
    """A bucket's batch as shapes with their sharding."""
    where = batch_sharding(mesh)
    return {n: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=where) for n, s in fields.items()}


def compile_by_bucket(
    jitted: Any, first: Any, specs: BatchSpecs, mesh: Mesh, *, options: dict | None = None
) -> dict[str, Any]:
    """`jitted(first, batch)` compiled ahead for every bucket's batch, once for equal shapes.
    options: the compiler's."""
    compiled: dict[str, Any] = {}
    with jax.set_mesh(mesh):
        for bucket, fields in specs.items():
            same = next((done for done in compiled if specs[done] == fields), None)
            if same is not None:
                compiled[bucket] = compiled[same]
            else:
                lowered = jitted.lower(first, abstract_batch(fields, mesh))
                compiled[bucket] = lowered.compile(compiler_options=options)
    return compiled


def abstract_state(
    task: Task, config: ConfigDict, mesh: Mesh, steps: int, steps_per_epoch: int
) -> tuple[Optimizer, TrainState, list[Fallback]]:
    """The optimizer, and the state as shapes and shardings: nothing is made."""
    if task.contrasts_in_batch and config.train.accumulate > 1:
        raise InputError(
            f"train.accumulate={config.train.accumulate}: the loss of {config.method!r} compares "
            "samples of a batch with each other; expected 1"
        )
    shapes, shardings, fallbacks = abstract_variables(task, mesh)
    groups = parameter_groups(task, shapes["params"])
    trained, _ = split_params(groups, groups)
    optimizer = make_optimizer(
        config.optim, trained, config.train.batch_size, steps, steps_per_epoch
    )
    state = jax.eval_shape(lambda v: make_state(v, groups, optimizer, config), shapes)
    where = state_shardings(state, shardings, optimizer, mesh, config)
    target = jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), state, where
    )
    return optimizer, target, fallbacks


def prepare_run(task: Task, config: ConfigDict, devices: Sequence[jax.Device] | None = None) -> Run:
    """Check the config against the machine and the data, and decide every shape and sharding."""
    started = time.perf_counter()
    # 1. The mesh, and that every batch divides over it.
    mesh = make_mesh(config.mesh.to_dict(), devices)
    check_batch(task.batch_specs("train"), mesh, config.train.accumulate)
    # 2. The data: how long an epoch is, and which rows of a batch this host loads.
    data, steps_per_epoch = training_data(task, config, mesh, config.train.steps)
    steps = len(data)
    # 3. The state, as shapes.
    optimizer, target, fallbacks = abstract_state(task, config, mesh, steps, steps_per_epoch)
    run = Run(
        task=task,
        config=config,
        mesh=mesh,
        steps=steps,
        steps_per_epoch=steps_per_epoch,
        data=data,
        optimizer=optimizer,
        target=target,
        fallbacks=fallbacks,
    )
    run.seconds["prepare"] = time.perf_counter() - started
    return run


def training_data(
    task: Task, config: ConfigDict, mesh: Mesh, steps: int
) -> tuple[TrainingBatches, int]:
    """What this host reads of `steps` steps (0: of the config's epochs), and the steps an epoch."""
    sources = bucket_sources(task, "train")
    steps_per_epoch = batches_of(sources)
    steps = steps or round(config.train.epochs * steps_per_epoch)
    size = next(iter(next(iter(task.batch_specs("train").values())).values())).shape[0]
    shares = tuple((a / size, b / size) for a, b in rows_of_host(mesh, size))
    schedule = Schedule.of(task.bucket_names, sources, steps)
    return TrainingBatches(sources, schedule, config.seed, shares), steps_per_epoch


def batches_of(sources: Mapping[str, Source]) -> int:
    """Steps of an epoch: every source's batches once, remainders dropped; at least 1."""
    different = {id(s): s for s in sources.values()}.values()
    return max(sum(len(s.records) // s.batch_size for s in different), 1)


def bucket_sources(task: Task, split: str) -> dict[str, Source]:
    """The source of every bucket of a split."""
    source = task.source(split)
    if isinstance(source, Source):
        return dict.fromkeys(task.batch_specs(split), source)
    return dict(source)
