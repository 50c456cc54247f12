"""From a backbone's maps and boxes of people to action logits (section 3.1).

Two steps, since the second needs what the first found of the film's other seconds: `features` reads
the maps, `classify` the memory.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from jaxvision.errors import InputError
from jaxvision.methods.cycleacr.cycle import CycleModeling
from jaxvision.methods.cycleacr.instances import Draws, InstanceConfig, InstanceInteraction
from jaxvision.methods.cycleacr.interaction import BlockConfig, reduction
from jaxvision.nn.linear import linear
from jaxvision.ops.largest import largest
from jaxvision.ops.roi_align import roi_align

Maps = Sequence[Float[Array, "b t h w c"]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """cycle: the baseline is without it, and reads no memory.  depth: blocks of a branch of the
    cycle.  fusion: what comes of the memory is added to the box's features, or put beside them.
    bins, scale, samples: of RoIAlign; see there.  dropout: before the classifier."""

    cycle: bool = True
    block: BlockConfig = dataclasses.field(default_factory=BlockConfig)
    depth: int = 2
    instances: InstanceConfig = dataclasses.field(default_factory=InstanceConfig)
    fusion: str = "add"
    bins: int = 7
    scale: float = 1 / 16
    samples: int | None = None
    hidden: int = 1024
    dropout: float = 0.2
    classes: int = 80

    def __post_init__(self):
        if self.fusion not in ("add", "concat"):
            raise InputError(f"model.fusion {self.fusion!r}: expected add or concat")


class ActorFeatures(NamedTuple):
    """roi: the largest value of each channel in a box.  actor: enhanced by context; what a memory
    keeps. It has no channels where there is no cycle."""

    roi: Float[Array, "b n d"]
    actor: Float[Array, "b n c"]


def box_cells(
    maps: Maps, boxes: Float[Array, "b n 4"], config: HeadConfig
) -> Float[Array, "b n cells d"]:
    """Features of a box's cells, row by row: RoIAlign of the maps' means over time, side by side.
    (RoIAlign is linear: the mean of pooled frames is the pooled mean.)"""
    means = [jnp.mean(each.astype(jnp.float32), axis=1) for each in maps]
    bins = (config.bins, config.bins)
    cells = roi_align(jnp.concatenate(means, axis=-1), boxes, bins, config.scale, config.samples)
    return cells.reshape(*cells.shape[:2], config.bins**2, -1)


def context_sequence(maps: Maps) -> Float[Array, "b t d"]:
    """The largest value of each channel in each frame, padding included as published; frames of a
    slower pathway are repeated."""
    frames = max(each.shape[1] for each in maps)
    found = []
    for each in maps:
        most = largest(each.reshape(*each.shape[:2], -1, each.shape[-1]), axis=2)
        nearest = jnp.arange(frames) * most.shape[1] // frames
        found.append(most[:, nearest])
    return jnp.concatenate(found, axis=-1)


class ActionHead(nn.Module):
    """The published head, or its baseline."""

    config: HeadConfig

    def setup(self) -> None:
        c, block = self.config, self.config.block
        kaiming = nn.initializers.variance_scaling(1.0, "fan_in", "uniform")
        normal = nn.initializers.normal(0.01)
        if c.cycle:
            self.actor_reduction = reduction(block, block.width)
            self.context_reduction = reduction(block, block.width)
            self.local_reduction = reduction(block, block.width)
            self.roi_reduction = reduction(block, block.width)
            self.cycle_modeling = CycleModeling(block, c.depth)
            self.instance_interaction = InstanceInteraction(block, c.instances)
        axes = ("embed", "mlp")
        self.hidden_1 = linear(c.hidden, axes, dtype=block.dtype, kernel=kaiming)
        self.hidden_2 = linear(c.hidden, axes, dtype=block.dtype, kernel=kaiming)
        self.actions = linear(c.classes, ("embed", "vocab"), dtype=block.dtype, kernel=normal)
        self.reduced_dropout = nn.Dropout(block.dropout)
        self.hidden_dropout = nn.Dropout(c.dropout)

    def __call__(
        self,
        maps: Maps,
        boxes: Float[Array, "b n 4"],
        exists: Bool[Array, "b n"],
        window: Float[Array, "b moments slots c"],
        deterministic: bool = True,
        draws: Draws | None = None,
    ) -> tuple[Float[Array, "b n classes"], ActorFeatures]:
        """Both steps; arguments as theirs."""
        found = self.features(maps, boxes, deterministic)
        return self.classify(found, exists, window, deterministic, draws), found

    def features(
        self, maps: Maps, boxes: Float[Array, "b n 4"], deterministic: bool = True
    ) -> ActorFeatures:
        """boxes: x1, y1, x2, y2 in pixels of the clip; padding may have any finite values."""
        cells = box_cells(maps, boxes, self.config)
        roi = largest(cells, axis=-2)
        if not self.config.cycle:
            return ActorFeatures(roi, jnp.zeros((*roi.shape[:2], 0), roi.dtype))
        return ActorFeatures(roi, self.enhance(roi, context_sequence(maps), cells, deterministic))

    def enhance(
        self,
        roi: Float[Array, "b n d"],
        context: Float[Array, "b t d"],
        cells: Float[Array, "b n cells d"],
        deterministic: bool = True,
    ) -> Float[Array, "b n c"]:
        """Actors after the cycle, in the width that a memory keeps."""

        def reduced(layer: nn.Module, x: Array) -> Array:
            return self.reduced_dropout(layer(x), deterministic=deterministic)

        both = self.cycle_modeling(
            reduced(self.actor_reduction, roi),
            reduced(self.context_reduction, context),
            reduced(self.local_reduction, cells),
            deterministic,
        )
        return self.roi_reduction(both)

    def classify(
        self,
        found: ActorFeatures,
        exists: Bool[Array, "b n"],
        window: Float[Array, "b moments slots c"],
        deterministic: bool = True,
        draws: Draws | None = None,
    ) -> Float[Array, "b n classes"]:
        """Logits in float32.  window: see `InstanceInteraction`; not read without a cycle."""
        x = found.roi
        if self.config.cycle:
            told = self.interact(found.actor, exists, window, deterministic, draws)
            if self.config.fusion == "add":
                x = x + told
            else:
                x = jnp.concatenate([x, told.astype(x.dtype)], axis=-1)
        x = jax.nn.relu(self.hidden_2(jax.nn.relu(self.hidden_1(x))))
        return self.actions(self.hidden_dropout(x, deterministic=deterministic)).astype(jnp.float32)

    def interact(
        self,
        actors: Float[Array, "b n c"],
        exists: Bool[Array, "b n"],
        window: Float[Array, "b moments slots c"],
        deterministic: bool = True,
        draws: Draws | None = None,
    ) -> Float[Array, "b n features"]:
        """What other people tell of the actors."""
        return self.instance_interaction(actors, exists, window, deterministic, draws)
