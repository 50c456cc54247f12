"""What actors learn of other people: of their clip, and of other seconds of the film."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from jaxvision.methods.cycleacr.interaction import BlockConfig, InteractionBlock

Draws = Float[Array, "*b n"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstanceConfig:
    """levels: of a people block and a memory block each.  people: slots for people of the clip.
    before, after: seconds of the film that are read, `step` apart.  slots: for people of a second.
    features: of the result.  positions: tables that tell the seconds apart."""

    levels: int = 2
    people: int = 20
    before: int = 30
    after: int = 30
    step: int = 1
    slots: int = 5
    features: int = 2304
    positions: bool = True

    @property
    def moments(self) -> int:
        return self.before + 1 + self.after


def chosen_slots(
    values: Float[Array, "*b n c"],
    exists: Bool[Array, "*b n"],
    slots: int,
    draws: Draws | None = None,
) -> Float[Array, "*b {slots} c"]:
    """At most `slots` of the rows that exist, then zeros.

    draws: uniform; of more rows than there are slots those with the smallest stay (published: any).
    None: the first stay.
    """
    n = values.shape[-2]
    # Without draws the order is that of the rows.
    rank = jnp.arange(n, dtype=jnp.float32) / n
    if draws is not None:
        rank = jnp.where(jnp.sum(exists, axis=-1, keepdims=True) > slots, draws, rank)
    order = jnp.argsort(jnp.where(exists, rank, 2.0), axis=-1)[..., :slots]
    here = jnp.take_along_axis(exists, order, axis=-1)[..., None]
    found = jnp.where(here, jnp.take_along_axis(values, order[..., None], axis=-2), 0)
    room = [(0, 0)] * (found.ndim - 2) + [(0, slots - found.shape[-2]), (0, 0)]
    return jnp.pad(found, room)


class InstanceInteraction(nn.Module):
    """Levels of two blocks: actors ask the people of their clip, then the memory of the film. Keys
    and values of both are projected once a clip, not once an actor."""

    block: BlockConfig
    config: InstanceConfig

    @nn.compact
    def __call__(
        self,
        actors: Float[Array, "b n c"],
        exists: Bool[Array, "b n"],
        window: Float[Array, "b moments slots c"],
        deterministic: bool = True,
        draws: Draws | None = None,
    ) -> Float[Array, "b n {self.config.features}"]:
        """window: the seconds around the clip in order; its own, in the middle, is not read: it
        holds the actors of now, without gradient.  draws: which people stay where there are more
        than slots (see `chosen_slots`)."""
        c = self.config
        own = jax.lax.stop_gradient(chosen_slots(actors, exists, c.slots, draws))
        window = window.astype(actors.dtype).at[:, c.before].set(own)
        memory = window.reshape(window.shape[0], c.moments * c.slots, -1)
        x = actors
        for level in range(c.levels):
            last = level == c.levels - 1
            people = chosen_slots(x, exists, c.people, draws)
            x = self._block(f"people_{level}", self.block.width)(x, people, deterministic)
            block = self._block(
                f"memory_{level}",
                c.features if last else self.block.width,
                c.moments if c.positions else 0,
            )
            x = block(x, memory, deterministic)
        return x

    def _block(self, name: str, features: int, moments: int = 0) -> InteractionBlock:
        return InteractionBlock(self.block, features, moments, name=name)
