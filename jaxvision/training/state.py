"""Everything a run is, between two steps."""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxvision.training.optimizer import Optimizer
from jaxvision.training.sharding import Fallback, replicated, variable_shardings
from jaxvision.training.task import Group, Task, Variables
from jaxvision.weights.mapping import flatten, unflatten


class TrainState(flax.struct.PyTreeNode):
    """step: optimizer steps taken (int32).  params: those trained.  frozen: parameters that are not
    (teachers, tables).  collections: batch_stats, memory, constants.  ema: averages of params and
    of the collections the config names, or empty."""

    step: Any
    params: dict
    frozen: dict
    collections: dict
    optimizer: Any
    ema: dict

    def variables(self, averaged: bool = False) -> Variables:
        """What the task's functions take; the averaged weights where asked and kept."""
        params, collections = self.params, self.collections
        if averaged and self.ema:
            params = self.ema["params"]
            collections = {**collections, **{k: v for k, v in self.ema.items() if k != "params"}}
        return assemble(params, self.frozen, collections)


def assemble(params: dict, frozen: dict, collections: Mapping) -> Variables:
    """Trained and frozen parameters in one tree, beside the other collections."""
    return {"params": unflatten({**flatten(params), **flatten(frozen)}), **collections}


def parameter_groups(task: Task, params: Mapping) -> dict[str, Group]:
    """The group of every parameter by path; a leaf whose every layer is frozen counts as frozen."""
    return {
        path: task.parameter_group(path, tuple(leaf.shape))
        for path, leaf in flatten(params).items()
    }


def split_params(params: Mapping, groups: Mapping[str, Group]) -> tuple[dict, dict]:
    """(trained, frozen) parts of a tree of parameters."""
    flat = flatten(params)
    trained = {path: leaf for path, leaf in flat.items() if np.any(groups[path].train)}
    frozen = {path: leaf for path, leaf in flat.items() if path not in trained}
    return unflatten(trained), unflatten(frozen)


def make_state(variables: Variables, groups: Mapping, optimizer: Optimizer, config: ConfigDict):
    """A state at step 0 around fresh (or loaded) variables."""
    ema = config.ema
    params, frozen = split_params(variables["params"], groups)
    frozen = frozen_as(config, frozen)
    collections = {k: v for k, v in variables.items() if k != "params"}
    average = {}
    if ema.decay:
        average = {"params": params}
        average |= {name: collections[name] for name in ema.collections if name in collections}
        average = jax.tree.map(jnp.copy, average)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        frozen=frozen,
        collections=collections,
        optimizer=optimizer.transform.init(params),
        ema=average,
    )


def frozen_as(config: ConfigDict, frozen: Mapping) -> dict:
    """`frozen` with the floats that `config.frozen` means in its dtype."""

    def cast(path: str, leaf: Any) -> Any:
        meant = path.startswith(config.frozen.prefix)
        floats = jnp.issubdtype(leaf.dtype, jnp.floating)
        return leaf.astype(config.frozen.dtype) if meant and floats else leaf

    return unflatten({path: cast(path, leaf) for path, leaf in flatten(frozen).items()})


def answering_variables(task: Task, variables: Variables) -> dict[str, Any]:
    """`variables` without the collections that training alone reads."""
    return {name: tree for name, tree in variables.items() if name not in task.training_only}


def unboxed_init(task: Task, rng: jax.Array) -> Variables:
    return nn.meta.unbox(task.init(rng))


def abstract_variables(task: Task, mesh: Mesh) -> tuple[Variables, dict, list[Fallback]]:
    """(shapes, shardings, fallbacks) of the task's variables, without making them."""
    boxed = jax.eval_shape(task.init, jax.random.key(0))
    shardings, fallbacks = variable_shardings(boxed, mesh)
    shapes = nn.meta.unbox(boxed)
    return shapes, shardings, fallbacks


def state_shardings(
    state: TrainState, variables: Mapping, optimizer: Optimizer, mesh: Mesh, config: ConfigDict
):
    """Shardings of an (abstract) state from its variables'; moments lie as parameters do (packed
    ones whole), and frozen parameters as `config.frozen` says."""
    import optax

    flat = flatten(variables)

    def like(tree: Mapping, prefix: str = "") -> dict:
        return unflatten({path: flat[prefix + path] for path in flatten(tree)})

    params = like(state.params, "params/")
    whole = replicated(mesh)
    frozen = like(state.frozen, "params/")
    if not config.frozen.sharded:
        frozen = unflatten(
            {
                path: whole if path.startswith(config.frozen.prefix) else sharding
                for path, sharding in flatten(frozen).items()
            }
        )
    if config.optim.packed:
        moments = jax.tree.map(lambda _: whole, state.optimizer)
    else:
        moments = optax.tree.map_params(
            optimizer.transform,
            lambda _, sharding: sharding,
            state.optimizer,
            params,
            transform_non_params=lambda _: whole,
        )
    return TrainState(
        step=whole,
        params=params,
        frozen=frozen,
        collections=like(state.collections),
        optimizer=moments,
        ema={
            name: params if name == "params" else like({name: tree})[name]
            for name, tree in state.ema.items()
        },
    )
