"""Golden runners of CycleACR's parts: the block, the cycle, what other people tell."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from golden_case import Case, Config, runner
from golden_runners.gradients import gradient_outputs
from jaxvision.methods.cycleacr import memory
from jaxvision.methods.cycleacr.cycle import CycleModeling
from jaxvision.methods.cycleacr.head import ActionHead, HeadConfig
from jaxvision.methods.cycleacr.instances import InstanceConfig, InstanceInteraction
from jaxvision.methods.cycleacr.interaction import BlockConfig, InteractionBlock
from jaxvision.methods.cycleacr.weights import (
    block_entries,
    cycle_entries,
    instance_entries,
    module_entries,
)
from jaxvision.weights import to_variables

CYCLEACR = "alphaction/modeling/roi_heads/action_head/cycleacr.py:"
# What a part has no use for.
UNUSED = {
    key: "of a part that the case does not have, or of a first value"
    for key in (
        "ACTIVE",
        "DEPTH",
        "INSTANCE_DEPTH",
        "LOCAL_FEATURE_LEN",
        "TEMP_FEATURE_LEN",
        "MEM_ACTIVE",
        "MAX_PER_SEC",
        "MAX_PERSON",
        "DIM_IN",
        "DIM_OUT",
        "PENALTY",
        "LENGTH",
        "MEMORY_RATE",
        "FUSION",
        "CONV_INIT_STD",
        "USE_ZERO_INIT_CONV",
        "TEMPORAL_POSITION",
    )
}


def block_of(config: Config) -> BlockConfig:
    assert not config["NO_BIAS"], "published code cannot be without a bias"
    return BlockConfig(
        width=config["DIM_INNER"], dropout=config["DROPOUT"], normed=config["LAYER_NORM"]
    )


def instances_of(config: Config) -> InstanceConfig:
    before, after = config["LENGTH"]
    return InstanceConfig(
        levels=config["INSTANCE_DEPTH"],
        people=config["MAX_PERSON"],
        before=before,
        after=after,
        step=config["MEMORY_RATE"],
        slots=config["MAX_PER_SEC"],
        features=config["DIM_OUT"],
        positions=config["TEMPORAL_POSITION"],
    )


class Clips(NamedTuple):
    """Which actor of a flat list is which of a clip. counts: actors of each clip."""

    counts: np.ndarray

    @property
    def exists(self) -> np.ndarray:
        return np.arange(self.counts.max()) < self.counts[:, None]

    def padded(self, flat: np.ndarray) -> np.ndarray:
        rows = np.zeros((*self.exists.shape, *flat.shape[1:]), flat.dtype)
        rows[self.exists] = flat
        return rows

    def flat(self, rows: jax.Array) -> jax.Array:
        clip, actor = np.nonzero(self.exists)
        return rows[clip, actor]


def clips_of(case: Case) -> Clips:
    return Clips(case.input("boxes_per_clip"))


class Films:
    """The memory of a case: rows as it lists them, and those of its own clips.  actors: of each."""

    def __init__(self, case: Case, config: InstanceConfig, actors: np.ndarray):
        listed = [(str(film), int(second)) for film, second, _ in case.input("memory_rows")]
        own = zip(case.input("clip_movie"), case.input("clip_timestamp"), strict=True)
        self.own = [(str(film), int(second)) for film, second in own]
        self.rows = memory.row_numbers(listed + self.own)
        counts = case.input("memory_rows")[:, 2]
        features = case.input("memory_features")
        slots = max(int(counts.max()), int(actors.max(initial=0)))
        found = memory.empty_memory(len(self.rows), slots, features.shape[-1])
        stored = [np.array(each) for each in found]
        ends = np.cumsum(counts)
        for number, (moment, count, end) in enumerate(zip(listed, counts, ends, strict=True)):
            row = self.rows[moment]
            stored[0][row, :count] = features[end - count : end]
            stored[1][row] = count
            if case.has_input("loss_tags"):
                stored[2][row] = case.input("loss_tags")[number]
        self.memory = memory.Memory(*stored)
        self.slots = slots
        self.window_rows = np.stack(
            [memory.window_rows(self.rows, *moment, config) for moment in self.own]
        )
        self.own_rows = np.array([self.rows[moment] for moment in self.own])

    def with_own(self, actors: jax.Array, exists: np.ndarray) -> memory.Memory:
        """With the clips' own actors."""
        entries = memory.entries_to_write(actors, exists, self.slots, jnp.zeros(()))
        pairs = zip(self.memory, entries, strict=True)
        return memory.Memory(*(jnp.asarray(old).at[self.own_rows].set(new) for old, new in pairs))


def current_loss(case: Case, penalty: bool) -> np.ndarray | None:
    return case.input("cur_loss").astype(np.float32) if penalty else None


@runner("cycleacr", f"{CYCLEACR}InteractionBlock", fixed={"module": "InteractionBlock"})
def interaction_block(case: Case) -> dict:
    config = case.config
    moments = max(config["temp_pos_len"], 0)
    block = BlockConfig(
        width=config["dim_inner"], dropout=config["dropout"], normed=config["layer_norm"]
    )
    module = InteractionBlock(block, config["dim_out"], moments, joint=True)
    sizes = tuple(config[f"dim_{name}"] for name in ("inner", "person", "other", "out"))
    entries = list(block_entries("", "params", sizes, moments))
    person, others = case.input("person"), case.input("others")
    assert others.shape[1] == config["max_others"]
    inputs = np.moveaxis(person[..., 0, 0], 1, 2), others[..., 0, 0, 0]
    cotangent = np.moveaxis(case.input("cot")[..., 0, 0], 1, 2)
    value, by_weights, by_inputs = pulled(module, case, entries, inputs, cotangent)
    return {
        "out": np.moveaxis(value, 2, 1)[..., None, None],
        "grad_person": np.moveaxis(by_inputs[0], 2, 1)[..., None, None],
        "grad_others": np.asarray(by_inputs[1])[..., None, None, None],
        **gradient_outputs(case.outputs, by_weights, entries),
    }


def pulled(module: nn.Module, case: Case, entries: list, inputs: tuple, cotangent, **more):
    """module(*inputs), and the gradients of its sum weighted by the cotangent."""
    variables, _ = to_variables(case.state_dict(), entries)

    @jax.jit
    def run(variables, inputs, cotangent):
        value, pull = jax.vjp(lambda v, x: module.apply(v, *x, **more), variables, inputs)
        return value, *pull(cotangent)

    return jax.device_get(run(variables, inputs, cotangent))


@runner("cycleacr", f"{CYCLEACR}CycleModeling", ignores=UNUSED, fixed={"module": "CycleModeling"})
def cycle_modeling(case: Case) -> dict:
    config, block = case.config, block_of(case.config)
    module = CycleModeling(block, config["DEPTH"])
    frames = config["TEMP_FEATURE_LEN"]
    entries = list(cycle_entries("", "params", block.width, config["DEPTH"], frames))
    # Every actor has a context of its own here: it is a clip of its own.
    actor = case.input("actor")[:, None, :, 0, 0, 0]
    context = np.moveaxis(case.input("context")[..., 0, 0], 1, 2)
    local = case.input("local")[:, None, ..., 0, 0, 0]
    assert local.shape[2] + 1 == config["LOCAL_FEATURE_LEN"]
    cotangent = case.input("cot")[:, None, :, 0, 0, 0]
    value, by_weights, grads = pulled(module, case, entries, (actor, context, local), cotangent)
    return {
        "out": value[:, 0, :, None, None, None],
        "grad_actor": grads[0][:, 0, :, None, None, None],
        "grad_context": np.moveaxis(grads[1], 2, 1)[..., None, None],
        "grad_local": grads[2][:, 0, ..., None, None, None],
        **gradient_outputs(case.outputs, by_weights, entries),
    }


@runner(
    "cycleacr",
    f"{CYCLEACR}InstanceInteraction",
    ignores=UNUSED,
    fixed={"module": "InstanceInteraction"},
)
def instance_interaction(case: Case) -> dict:
    config, block, instances = case.config, block_of(case.config), instances_of(case.config)
    module = InstanceInteraction(block, instances)
    head = HeadConfig(block=block, instances=instances)
    entries = list(instance_entries("", "params", head))
    clips = clips_of(case)
    films = Films(case, instances, clips.counts)
    actors = clips.padded(case.input("actor")[..., 0, 0, 0])
    current = current_loss(case, config["training"] and config["PENALTY"])
    window = memory.read_window(films.memory, films.window_rows, instances.slots, current)

    cotangent = clips.padded(case.input("cot")[..., 0, 0, 0])
    value, by_weights, grads = pulled(
        module,
        case,
        entries,
        (actors, clips.exists, window),
        cotangent,
    )
    own = memory.chosen_slots(actors, clips.exists, instances.slots)
    seen = window.at[:, instances.before].set(own).reshape(len(actors), -1, block.width)
    return {
        "memory": seen[..., None, None, None],
        "out": clips.flat(value)[..., None, None, None],
        "grad_actor": clips.flat(grads[0])[..., None, None, None],
        **gradient_outputs(case.outputs, by_weights, entries),
    }


@runner(
    "cycleacr",
    f"{CYCLEACR}CycleACR",
    ignores=UNUSED,
    fixed={"module": "CycleACR"},
)
def cycleacr_module(case: Case) -> dict:
    config, block, instances = case.config, block_of(case.config), instances_of(case.config)
    assert config["LOCAL_FEATURE_LEN"] == 1 + config["pooler_resolution"] ** 2
    head = HeadConfig(
        block=block, depth=config["DEPTH"], instances=instances, bins=config["pooler_resolution"]
    )
    entries = list(module_entries("", "params", head, config["dim_in"], config["TEMP_FEATURE_LEN"]))
    clips = clips_of(case)
    films = Films(case, instances, clips.counts)
    actor = clips.padded(case.input("actor")[..., 0, 0, 0])
    context = np.moveaxis(case.input("context")[..., 0, 0], 1, 2)
    local = case.input("local")[:, :, 0]
    cells = clips.padded(np.moveaxis(local.reshape(*local.shape[:2], -1), 1, 2))
    window = memory.read_window(films.memory, films.window_rows, instances.slots)
    module = ActionHead(head)

    def both(self: ActionHead, actor, context, cells):
        found = self.enhance(actor, context, cells)
        return self.interact(found, clips.exists, window), found

    cotangent = clips.padded(case.input("cot")[..., 0, 0, 0])
    value, by_weights, grads = pulled(
        module,
        case,
        entries,
        (actor, context, cells),
        (cotangent, np.zeros((*clips.exists.shape, block.width), np.float32)),
        method=both,
    )
    told, found = value
    return {
        "bank_features": clips.flat(found)[..., None, None, None],
        "out": clips.flat(told)[..., None, None, None],
        "grad_actor": clips.flat(grads[0])[..., None, None, None],
        **gradient_outputs(case.outputs, by_weights, entries),
    }
