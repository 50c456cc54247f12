"""The memory of films: which row is which second, how a window is read, what a step writes.

A row holds the people of one key frame: features in slots, how many there are, and a tag, the loss
of the step that wrote it. In training a row counts by how near that loss is to the present one
(AIA 2004.07485, section 3.4): what an older network wrote fades.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxvision.methods.cycleacr.instances import Draws, InstanceConfig, chosen_slots

Moment = tuple[str, float]  # film, second
NO_ROW = -1


class Memory(NamedTuple):
    """features: zeros in empty slots.  people: of a row, in its first slots.  tag: the loss of the
    step that wrote it."""

    features: Float[Array, "rows slots c"]
    people: Int[Array, " rows"]
    tag: Float[Array, " rows"]


def row_numbers(moments: Iterable[Moment]) -> dict[Moment, int]:
    """A row for every second of every film, film by film and in the order of time."""
    return {moment: row for row, moment in enumerate(sorted(set(moments)))}


def moments_code(moments: Iterable[Moment]) -> int:
    """A number that tells memories of other films or seconds apart (31 bits of a digest)."""
    listed = json.dumps(sorted(set(moments))).encode()
    return int.from_bytes(hashlib.sha256(listed).digest()[:4]) >> 1


def window_rows(
    rows: Mapping[Moment, int], film: str, second: float, config: InstanceConfig
) -> Int[np.ndarray, " moments"]:
    """The rows around a second of a film; -1 where there is none."""
    around = (np.arange(config.moments) - config.before) * config.step
    found = [rows.get((film, second + int(offset)), NO_ROW) for offset in around]
    return np.array(found, np.int32)


def read_window(
    memory: Memory,
    rows: Int[Array, "b moments"],
    slots: int,
    current: Float[Array, ""] | None = None,
    draws: Draws | None = None,
) -> Float[Array, "b moments slots c"]:
    """People of the rows, zeros for row -1 and for rows never written.

    current: the loss of the present; rows are scaled by the smaller of it and their tag over the
    larger one. None: as they are (evaluation).  draws: of a row's people, where they are more than
    `slots`: [b, moments, memory slots].
    """

    # Rows lie on many devices: each answers for its own, and the answers are summed. The memory
    # itself never moves.
    def of_rows(array: Array) -> Array:
        return jnp.take(
            array, jnp.where(rows < 0, len(array), rows), axis=0, mode="fill", fill_value=0
        )

    features, people = of_rows(memory.features), of_rows(memory.people)
    exists = jnp.arange(features.shape[2]) < people[..., None]
    found = chosen_slots(features, exists, slots, draws)
    if current is None:
        return found
    return found * fading(of_rows(memory.tag), current)[..., None, None].astype(found.dtype)


def fading(tag: Float[Array, "*n"], current: Float[Array, ""]) -> Float[Array, "*n"]:
    """The smaller of two losses over the larger one, 0 to 1; 0 where both are 0."""
    larger = jnp.maximum(tag, current)
    return jnp.minimum(tag, current) / jnp.where(larger > 0, larger, 1)


def entries_to_write(
    actors: Float[Array, "b n c"], exists: Bool[Array, "b n"], slots: int, tag: Float[Array, ""]
) -> Memory:
    """A row for every clip of a batch."""
    clips = actors.shape[0]
    return Memory(
        chosen_slots(actors, exists, slots),
        jnp.minimum(jnp.sum(exists, axis=-1), slots).astype(jnp.int32),
        jnp.broadcast_to(tag.astype(jnp.float32), (clips,)),
    )


def empty_memory(rows: int, slots: int, width: int) -> Memory:
    """Nobody, anywhere."""
    return Memory(
        jnp.zeros((rows, slots, width), jnp.float32),
        jnp.zeros((rows,), jnp.int32),
        jnp.zeros((rows,), jnp.float32),
    )
