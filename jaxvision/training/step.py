"""One training step: loss, gradient, update, average, on the whole mesh."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from jaxvision.training.optimizer import Optimizer, global_norm
from jaxvision.training.state import TrainState, assemble
from jaxvision.training.task import Batch, Task


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


Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def make_step(task: Task, optimizer: Optimizer, config: ConfigDict) -> Step:
    """The pure function that `jit` compiles once per bucket.

    Draws come from a key folded with the global step and the micro-batch, so a resumed run repeats
    the uninterrupted one.
    """
    micro_batches = config.train.accumulate

    def gradient(state: TrainState, collections: dict, batch: Batch, rng: jax.Array):
        """Mean loss gradient of one micro-batch, its metrics, and the collections after it."""
        prepare_rng, loss_rng = jax.random.split(rng)
        batch = task.prepare(batch, prepare_rng, True)

        def loss(params):
            variables = assemble(params, state.frozen, collections)
            value, aux = task.loss(variables, batch, loss_rng, True)
            return value, aux

        (value, aux), grads = jax.value_and_grad(loss, has_aux=True)(state.params)
        metrics = {"loss": (value, jnp.ones(())), **aux.metrics}
        return grads, metrics, {**collections, **aux.state}

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        state = state.replace(params=optimizer.bound(state.params))
        rng = jax.random.fold_in(jax.random.key(config.seed), state.step)
        if micro_batches == 1:
            grads, metrics, collections = gradient(state, state.collections, batch, rng)
        else:
            grads, metrics, collections = accumulate(gradient, state, batch, rng, micro_batches)
        norm = global_norm(grads)
        finite = jnp.isfinite(norm) & jnp.isfinite(metrics["loss"][0])
        updates, optimizer_state = optimizer.transform.update(
            grads, state.optimizer, state.params, step=state.step
        )
        params = jax.tree.map(jnp.add, state.params, updates)
        ema = average(state, params, collections, config.ema) if state.ema else state.ema

        # A loss that is not finite is read steps later: drop its update here, and count it.
        def keep(new, old):
            return jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, old)

        new_state = TrainState(
            step=state.step + 1,
            params=keep(params, state.params),
            frozen=state.frozen,
            collections=keep(collections, state.collections),
            optimizer=keep(optimizer_state, state.optimizer),
            ema=keep(ema, state.ema),
        )
        one = jnp.ones(())
        rates = {name: (rate(state.step), one) for name, rate in optimizer.schedules.items()}
        engine = {"gradient_norm": (norm, one), "not_finite": (1.0 - finite, one)}
        return new_state, Metrics.of({**metrics, **engine, **rates})

    return step


def accumulate(gradient, state: TrainState, batch: Batch, rng: jax.Array, count: int):
    """Means over `count` micro-batches, as data-parallel ranks average.

    Micro-batch i takes rows i, i+count, ...: the split then needs no communication.
    """

    def rows(x):
        return jnp.moveaxis(x.reshape(x.shape[0] // count, count, *x.shape[1:]), 1, 0)

    def body(carry, scanned):
        collections, total = carry
        index, micro_batch = scanned
        grads, metrics, collections = gradient(
            state, collections, micro_batch, jax.random.fold_in(rng, index)
        )
        return (collections, jax.tree.map(jnp.add, total, (grads, metrics))), None

    scanned = (jnp.arange(count), jax.tree.map(rows, dict(batch)))
    first = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), scanned)
    shapes = jax.eval_shape(
        lambda index, batch: gradient(state, state.collections, batch, jax.random.fold_in(rng, 0)),
        *first,
    )
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes[:2])
    (collections, (grads, metrics)), _ = jax.lax.scan(body, (state.collections, zeros), scanned)
    return jax.tree.map(lambda g: g / count, grads), metrics, collections


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
