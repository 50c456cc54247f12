"""SparseFormer: a transformer of a few tokens, each with a box, that samples a few points.

One picture: the early convolution makes a feature map of it (`Stem`); units (blocks.py) move the
boxes, sample the map inside them and mix tokens; the mean over tokens, or a class token, is
classified.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray

from jaxvision.methods.sparseformer.architecture import PLAIN, Architecture, Unit
from jaxvision.methods.sparseformer.blocks import FocusUnit, PlainUnit, Sampling
from jaxvision.methods.sparseformer.geometry import initial_boxes
from jaxvision.nn.initializers import torch_default_bias
from jaxvision.nn.linear import linear, logical, norm, zeros
from jaxvision.nn.sharding import constrain
from jaxvision.nn.transformer import drop_path_rates


class Answer(NamedTuple):
    """logits [b, outputs].  embedding [b, d]: what is classified.  tokens [b, n(+1), d]: each under
    the final norm.  boxes [b, n, 4 or 6]: after all units; boxes_after_unit: after each.
    samplings: all, in order."""

    logits: Float[Array, "b outputs"]
    embedding: Float[Array, "b d"]
    tokens: Float[Array, "b m d"]
    boxes: Float[Array, "b n d2"]
    boxes_after_unit: Float[Array, "units b n d2"]
    samplings: tuple[Sampling, ...]


def plain_runs(architecture: Architecture) -> dict[int, int]:
    """{first: count} of neighbouring units that are alike and know no boxes: each run is one scan.

    Weights of a run are stacked below `run_{first}`, those of other units lie below `unit_{i}`.
    """
    runs: dict[int, int] = {}
    first = -1
    for number, unit in enumerate(architecture.units):
        plain = unit.operations == PLAIN and unit.repeats == 1
        starts = number == 0 or unit != architecture.units[number - 1]
        if not plain:
            first = -1
        elif first < 0 or starts or number == architecture.class_token_before:
            first = number
            runs[first] = 1
        else:
            runs[first] += 1
    return runs


def has_transition(architecture: Architecture, number: int) -> bool:
    """Whether the width changes in front of unit `number`."""
    units = architecture.units
    return number > 0 and units[number].width != units[number - 1].width


def channel_norm(x: Float[Array, "*b c"], epsilon: float, unbiased: bool) -> Float[Array, "*b c"]:
    """Mean 0 and deviation 1 over the channels of each pixel, in float32, without scale and shift.

    unbiased: the variance divides by c - 1 (the paper's code) instead of c.
    """
    values = x.astype(jnp.float32)
    centred = values - jnp.mean(values, axis=-1, keepdims=True)
    count = x.shape[-1] - unbiased
    variance = jnp.sum(jnp.square(centred), axis=-1, keepdims=True) / count
    return (centred / jnp.sqrt(variance + epsilon)).astype(x.dtype)


class Stem(nn.Module):
    """The early convolution, the only part that sees every pixel (section 3.3): 7x7 of
    stride 2, ReLU, 3x3 max pooling of stride 2, channel norm.

    The sides come out as ceil(ceil(side / 2) / 2). Frames of a clip are pictures of their own.
    """

    channels: int
    norm_epsilon: float
    norm_unbiased: bool
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "b *t h w 3"]) -> Float[Array, "b *t h4 w4 c"]:
        lead = images.shape[:-3]
        x = images.reshape(-1, *images.shape[-3:])
        x = nn.Conv(
            self.channels,
            (7, 7),
            (2, 2),
            padding=((3, 3), (3, 3)),
            dtype=self.dtype,
            kernel_init=logical(
                nn.initializers.variance_scaling(2.0, "fan_out", "normal"), *[None] * 4
            ),
            bias_init=logical(torch_default_bias(147), None),
            name="convolution",
        )(x)
        x = nn.max_pool(nn.relu(x), (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        x = channel_norm(x, self.norm_epsilon, self.norm_unbiased)
        x = x.reshape(*lead, *x.shape[1:])
        return constrain(x, "batch", *(None,) * (x.ndim - 1))


class SparseFormer(nn.Module):
    """Classifies pictures [b, h, w, 3], or clips [b, t, h, w, 3], normalised, of any size."""

    architecture: Architecture

    def __call__(
        self,
        images: Float[Array, "b *t h w 3"],
        deterministic: bool = True,
        features: bool = False,
        gradient_scale: Float[Array, ""] | float = 1.0,
    ) -> Float[Array, "b outputs"]:
        """The logits, or with `features` the embedding [b, d] in front of the last linear map.

        gradient_scale: of the loss; the paper's bound on the points' gradient follows it.
        """
        answer = self.trace(images, deterministic, gradient_scale)
        return answer.embedding if features else answer.logits

    @nn.compact
    def trace(
        self,
        images: Float[Array, "b *t h w 3"],
        deterministic: bool = True,
        gradient_scale: Float[Array, ""] | float = 1.0,
    ) -> Answer:
        """The answer to a picture with all that led to it."""
        arch = self.architecture
        flavour, units = arch.flavour, arch.units
        stem = Stem(
            arch.channels,
            flavour.channel_norm_epsilon,
            flavour.channel_norm_unbiased,
            arch.dtype,
            name="stem",
        )
        maps = stem(images.astype(arch.dtype))
        tokens, boxes = self._initial(images.shape[0])
        rates = drop_path_rates(arch.drop_path, arch.executions)
        after, samplings = [], []
        number = done = 0  # units, and runs of units, that are behind
        runs = plain_runs(arch)
        while number < len(units):
            unit = units[number]
            tokens = self._transition(tokens, number)
            if 0 < arch.class_token_before == number:
                tokens = self._with_class_token(tokens)
            if number in runs:
                # Neighbours that are alike: one scan over their stacked weights.
                count = runs[number]
                stack = nn.scan(
                    PlainUnit,
                    variable_axes={"params": 0},
                    split_rngs={"params": True, "dropout": True},
                    length=count,
                    metadata_params={nn.PARTITION_NAME: "layers"},
                )(arch, unit, deterministic, name=f"run_{number}")
                tokens, _ = stack(tokens, jnp.asarray(rates[done : done + count], jnp.float32))
                after += [boxes] * count
                number, done = number + count, done + count
                continue
            # One set of weights, run as often as the unit repeats.
            focus = FocusUnit(arch, unit, deterministic, name=f"unit_{number}")
            for step, row in enumerate(self._stages(unit, number)):
                tokens = tokens if row is None else tokens + row
                tokens, boxes, sampled = focus(
                    tokens, boxes, maps, float(rates[done + step]), gradient_scale
                )
                samplings += sampled
            after.append(boxes)
            number, done = number + 1, done + unit.repeats
        last_norm = norm("norm", epsilon=flavour.norm_epsilon, dtype=arch.dtype)
        pooled = tokens[:, 0] if arch.class_token_before else jnp.mean(tokens, axis=1)
        embedding = last_norm(pooled)
        return Answer(
            logits=self._classified(embedding) if arch.outputs else embedding,
            embedding=embedding,
            tokens=last_norm(tokens),
            boxes=boxes,
            boxes_after_unit=jnp.stack(after),
            samplings=tuple(samplings),
        )

    def _classified(self, embedding: Float[Array, "b d"]) -> Float[Array, "b outputs"]:
        arch = self.architecture
        bias = zeros if arch.head_bias else None
        head = linear(arch.outputs, ("embed", "vocab"), dtype=arch.dtype, bias=bias, name="head")
        return head(embedding)

    def _initial(self, batch: int) -> tuple[Float[Array, "b n d"], Float[Array, "b n d2"]]:
        arch = self.architecture
        width = arch.units[0].width
        rows = 1 if arch.flavour.one_embedding else arch.tokens
        init = logical(nn.initializers.truncated_normal(1.0), None, "embed")
        embedding = self.param("token_embedding", init, (rows, width))
        shape = (arch.tokens, 2 * arch.dimensions)
        boxes = self.param("token_boxes", logical(_box_table(arch), None, None), shape)
        tokens = jnp.broadcast_to(embedding.astype(arch.dtype), (batch, arch.tokens, width))
        boxes = boxes.astype(jnp.float32)
        return tokens, jnp.broadcast_to(boxes, (batch, *boxes.shape))

    def _transition(self, tokens: Float[Array, "b n d"], number: int) -> Float[Array, "b n d2"]:
        """The change of width in front of a unit."""
        arch = self.architecture
        if not has_transition(arch, number):
            return tokens
        width = arch.units[number].width
        name = f"transition_{number}"
        tokens = linear(width, (None, "embed"), dtype=arch.dtype, name=name)(tokens)
        if not arch.flavour.transition_norm:
            return tokens
        return norm(f"{name}_norm", epsilon=arch.flavour.norm_epsilon, dtype=arch.dtype)(tokens)

    def _with_class_token(self, tokens: Float[Array, "b n d"]) -> Float[Array, "b n+1 d"]:
        width = tokens.shape[-1]
        init = logical(nn.initializers.normal(1.0), None, "embed")
        row = self.param("class_embedding", init, (1, width))
        row = jnp.broadcast_to(row.astype(tokens.dtype), (tokens.shape[0], 1, width))
        return jnp.concatenate([row, tokens], axis=1)

    def _stages(self, unit: Unit, number: int) -> list[Float[Array, " d"] | None]:
        """What is added to all tokens in front of each run of a unit; None for nothing."""
        if not self.architecture.flavour.stage_embedding or unit.repeats == 1:
            return [None] * unit.repeats
        init = logical(nn.initializers.normal(1.0), None, "embed")
        rows = self.param(f"stage_embedding_{number}", init, (unit.repeats, unit.width))
        return list(rows.astype(self.architecture.dtype))


def _box_table(arch: Architecture):
    def init(key: PRNGKeyArray, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
        if arch.dimensions == 3:
            # Clips start from an image model's weights (weights.py); this is upstream's draw.
            return jax.random.normal(key, shape, dtype)
        return jnp.asarray(np.asarray(initial_boxes(arch.tokens)), dtype)

    return init
