"""One training step: loss, gradient, update, average, on the whole mesh."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from jaxvision.errors import InputError, check_choice
from jaxvision.training.optimizer import Optimizer, global_norm
from jaxvision.training.row_writes import write_rows
from jaxvision.training.state import TrainState, assemble
from jaxvision.training.task import Aux, Batch, Task
from jaxvision.weights.mapping import flatten, unflatten


@struct.dataclass
class Metrics:
    """(sum, weight) of every metric of a step, in one array: reading one array costs what reading
    one number does."""

    values: Float[Array, "k 2"]
    names: tuple[str, ...] = struct.field(pytree_node=False)

    @classmethod
    def of(cls, pairs: dict[str, tuple[Array, Array]]) -> "Metrics":
        rows = [jnp.stack([jnp.asarray(x, jnp.float32) for x in pair]) for pair in pairs.values()]
        return cls(jnp.stack(rows), tuple(pairs))

    def pairs(self) -> dict[str, tuple[float, float]]:
        """The numbers; waits for the device unless `values` are the host's already."""
        rows = np.asarray(self.values).tolist()
        return {name: tuple(row) for name, row in zip(self.names, rows, strict=True)}


OUTSIDE = "rows_out_of_range/"  # metric: rows of a memory that a loss wrote outside it

Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def make_step(task: Task, optimizer: Optimizer, config: ConfigDict) -> Step:
    """The pure function that `jit` compiles once per bucket.

    Draws come from a key folded with the global step and the micro-batch, so a resumed run repeats
    the uninterrupted one.
    """
    micro_batches = config.train.accumulate

    def gradient(state: TrainState, changed: dict, batch: Batch, rng: jax.Array):
        """The loss's gradient over one micro-batch, its metrics, and what it changes.

        changed: leaves of the collections, by path, that earlier micro-batches have changed.
        """
        prepare_rng, loss_rng = jax.random.split(rng)
        batch = task.prepare(batch, prepare_rng, True)
        collections = merge(state.collections, changed)

        def loss(params):
            variables = assemble(params, state.frozen, collections)
            return task.loss(variables, batch, loss_rng, True)

        (value, aux), grads = jax.value_and_grad(loss, has_aux=True)(state.params)
        metrics = {"loss": (value, jnp.ones(())), **aux.metrics}
        return grads, metrics, changes(aux, state.collections), dict(aux.writes)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        # 1. Bounded parameters, the gradient, metrics, and what changes of the collections.
        state = state.replace(params=optimizer.bound(state.params))
        rng = jax.random.fold_in(jax.random.key(config.seed), state.step)
        if micro_batches == 1:
            grads, metrics, changed, writes = gradient(state, {}, batch, rng)
        else:
            found = accumulate(gradient, state, batch, rng, micro_batches)
            grads, metrics, changed, writes = found
        collections = merge(state.collections, changed)

        # 2. The update, and the average after it.
        norm = global_norm(grads)
        finite = jnp.isfinite(norm) & jnp.isfinite(metrics["loss"][0])
        updates, optimizer_state = optimizer.transform.update(
            grads, state.optimizer, state.params, step=state.step
        )
        params = jax.tree.map(jnp.add, state.params, updates)
        ema = average(state, params, collections, config.ema) if state.ema else state.ema

        # 3. A loss that is not finite is read steps later: drop its update here, and count it.
        def keep(new, old):
            return jax.tree.map(lambda a, b: a if a is b else jnp.where(finite, a, b), new, old)

        collections = keep(collections, state.collections)

        # 4. Rows of memories, last: `where` over a memory would copy it.
        outside = {}
        for path, (rows, values) in writes.items():
            name = f"memory/{path}"
            array, count = write_rows(flatten(collections)[name], rows, values, finite)
            collections = merge(collections, {name: array})
            outside[OUTSIDE + name] = (count, jnp.ones(()))

        new_state = TrainState(
            step=state.step + 1,
            params=keep(params, state.params),
            frozen=state.frozen,
            collections=collections,
            optimizer=keep(optimizer_state, state.optimizer),
            ema=keep(ema, state.ema),
        )
        one = jnp.ones(())
        rates = {name: (rate(state.step), one) for name, rate in optimizer.schedules.items()}
        engine = {"gradient_norm": (norm, one), "not_finite": (1.0 - finite, one), **outside}
        return new_state, Metrics.of({**metrics, **engine, **rates})

    return step


def check_row_writes(metrics: Metrics) -> None:
    """InputError where a loss wrote rows outside a memory; waits for the device."""
    for name, (count, _) in metrics.pairs().items():
        if name.startswith(OUTSIDE) and count:
            path = name.removeprefix(OUTSIDE)
            raise InputError(f"the loss writes {count:.0f} rows outside {path!r}")


def merge(collections: Mapping, changed: Mapping) -> dict:
    """`collections` with the leaves of `changed`, by path, in place of theirs."""
    return unflatten({**flatten(collections), **changed}) if changed else dict(collections)


def changes(aux: Aux, collections: Mapping) -> dict:
    """The leaves of `aux.state` by path. InputError for one that no collection has, or that is
    written by row besides."""
    changed, known = flatten(dict(aux.state)), flatten(collections)
    for path in [*changed, *(f"memory/{path}" for path in aux.writes)]:
        check_choice("the loss changes", path, known)
    for path in aux.writes:
        if f"memory/{path}" in changed:
            raise InputError(f"the loss both replaces 'memory/{path}' and writes rows of it")
    return changed


def accumulate(gradient, state: TrainState, batch: Batch, rng: jax.Array, count: int):
    """`gradient` over `count` micro-batches: averaged as data-parallel ranks average.

    Micro-batch i takes rows i, i+count, ...: the split then needs no communication. Each sees the
    leaves that those before it changed; rows of memories are written after the last alone.
    """

    def rows(x):
        return jnp.moveaxis(x.reshape(x.shape[0] // count, count, *x.shape[1:]), 1, 0)

    def body(carry, scanned):
        changed, total = carry
        index, micro_batch = scanned
        grads, metrics, changed, writes = gradient(
            state, changed, micro_batch, jax.random.fold_in(rng, index)
        )
        return (changed, jax.tree.map(jnp.add, total, (grads, metrics))), writes

    # 1. The shapes of one micro-batch's answer say where the sums start and what is carried.
    scanned = (jnp.arange(count), jax.tree.map(rows, dict(batch)))
    first = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), scanned)
    shapes = jax.eval_shape(
        lambda index, batch: gradient(state, {}, batch, jax.random.fold_in(rng, 0)), *first
    )
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes[:2])
    before = flatten(state.collections)
    changed = {path: before[path] for path in shapes[2]}

    # 2. One after the other; their rows lie end to end in that order.
    (changed, (grads, metrics)), writes = jax.lax.scan(body, (changed, zeros), scanned)
    writes = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), writes)
    return jax.tree.map(lambda g: g / count, grads), metrics, changed, writes


def average(state: TrainState, params: dict, collections: dict, config: ConfigDict) -> dict:
    """The exponential average after the update of step `state.step`.

    Considered every `interval` updates; before `start_step` it is overwritten by the weights.
    """
    current = {name: params if name == "params" else collections[name] for name in state.ema}
    due = state.step % config.interval == 0
    decay = jnp.where(state.step < config.start_step, 0.0, config.decay)

    def blend(old, new):
        mixed = decay * old + (1.0 - decay) * new
        return jnp.where(due, mixed.astype(old.dtype), old)

    return jax.tree.map(blend, state.ema, current)
