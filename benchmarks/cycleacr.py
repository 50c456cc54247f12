"""CycleACR's second stage: keys and values once a clip against once an actor, in one run.

    python benchmarks/cycleacr.py [--clips 100] [--actors 8] [--repeats 3]

The same weights and the same blocks in both forms. In the second every actor has people and memory
of its own, whose keys and values are projected for it alone, level by level, as the published code
does. Calls alternate; the least of each is printed.
"""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from timing import alternately

from jaxvision.methods.cycleacr.instances import (
    InstanceConfig,
    InstanceInteraction,
    chosen_slots,
)
from jaxvision.methods.cycleacr.interaction import BlockConfig, InteractionBlock
from jaxvision.ops.dispatch import platform

BLOCK, SEEN = BlockConfig(), InstanceConfig()


class PerActor(nn.Module):
    """`InstanceInteraction`, with people and memory repeated for every actor."""

    @nn.compact
    def __call__(self, actors, exists, window):
        own = chosen_slots(actors, exists, SEEN.slots)
        memory = window.at[:, SEEN.before].set(own).reshape(len(window), -1, BLOCK.width)

        def repeated(others):
            b, m, c = others.shape
            return jnp.broadcast_to(others[:, None], (b, actors.shape[1], m, c))

        x, memory = actors, repeated(memory)
        for level in range(SEEN.levels):
            last = level == SEEN.levels - 1
            people = repeated(chosen_slots(x, exists, SEEN.people))
            block = InteractionBlock(BLOCK, BLOCK.width, name=f"people_{level}")
            x = block(x[:, :, None], people)
            features = SEEN.features if last else BLOCK.width
            block = InteractionBlock(BLOCK, features, SEEN.moments, name=f"memory_{level}")
            x = block(x, memory)[:, :, 0]
        return x


def main(clips: int, actors: int, repeats: int) -> None:
    rng = np.random.default_rng(0)
    shapes = (1, actors, BLOCK.width), (1, SEEN.moments, SEEN.slots, BLOCK.width)
    inputs = [
        (
            jnp.asarray(rng.standard_normal(shapes[0]), jnp.float32),
            jnp.ones((1, actors), bool),
            jnp.asarray(rng.standard_normal(shapes[1]), jnp.float32),
        )
        for _ in range(clips)
    ]
    once = InstanceInteraction(BLOCK, SEEN)
    variables = nn.unbox(once.init(jax.random.key(0), *inputs[0]))
    # First weights of a block's output are zero: take others, so that the forms can be compared.
    variables = {
        "params": jax.tree.map(
            lambda leaf: jnp.asarray(0.02 * rng.standard_normal(leaf.shape), jnp.float32),
            variables["params"],
        )
    }
    calls = [jax.jit(module.apply) for module in (once, PerActor())]
    first, second = (call(variables, *inputs[0]) for call in calls)
    apart = float(jnp.linalg.norm(first - second) / jnp.linalg.norm(first))
    print(f"relative difference of the two forms {apart:.1e}")

    def all_clips(call):
        for given in inputs:
            found = call(variables, *given)
        return found

    new, old = (
        min(times) for times in alternately([partial(all_clips, c) for c in calls], repeats)
    )
    print(
        f"{clips} clips of {actors} people: an actor at a time {old:.2f} s, once a clip "
        f"{new:.2f} s: {old / new:.2f} times"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--actors", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(f"{platform()}, batch 1")
    main(options.clips, options.actors, options.repeats)
