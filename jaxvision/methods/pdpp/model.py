"""The temporal U-Net of PDPP (2303.14676, section 3.2): the clean state from a noisy one."""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxvision.methods.pdpp.blocks import (
    Convolution,
    ConvolutionBlock,
    Resample,
    ResidualBlock,
    earlier,
    later,
    sinusoid,
    torch_dense,
)
from jaxvision.methods.pdpp.state import StateLayout

TimeTerms = tuple[Float[Array, "n c"], ...] | None


class ConditionTerms(NamedTuple):
    """What class and observations add to the first block, the same at every diffusion step."""

    convolved: Float[Array, "b t c"]
    shortcut: Float[Array, "b t c"]


class TemporalUNet(nn.Module):
    """Levels of residual blocks over planning steps; each level has one step fewer, not half.

    time_embedding: False makes the network of the Noise and Deterministic baselines.
    Plans need at least as many steps as there are levels.
    """

    layout: StateLayout
    width: int = 256
    multipliers: tuple[int, ...] = (1, 2, 4)
    time_embedding: bool = True
    dtype: jnp.dtype = jnp.float32

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(self.width * factor for factor in self.multipliers)

    def setup(self):
        def block(inputs: int, outputs: int) -> ResidualBlock:
            return ResidualBlock(
                inputs, outputs, self.width if self.time_embedding else 0, self.dtype
            )

        def pair(inputs: int, outputs: int) -> list[ResidualBlock]:
            return [block(inputs, outputs), block(outputs, outputs)]

        widths = self.widths
        if self.time_embedding:
            self.time_hidden = torch_dense(self.width, 4 * self.width, self.dtype)
            self.time_output = torch_dense(4 * self.width, self.width, self.dtype)
        self.down_blocks = [
            pair(inputs, outputs)
            for inputs, outputs in zip((self.layout.width, *widths), widths, strict=False)
        ]
        self.down_samples = [Resample(width, False, self.dtype) for width in widths[:-1]]
        self.middle = pair(widths[-1], widths[-1])
        narrowing = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up_blocks = [pair(2 * inputs, outputs) for inputs, outputs in narrowing]
        self.up_samples = [Resample(outputs, True, self.dtype) for _, outputs in narrowing]
        self.head = ConvolutionBlock(self.width, self.width, zero=True, dtype=self.dtype)
        self.output = Convolution(self.width, self.layout.width, taps=1, dtype=self.dtype)

    def __call__(
        self, x: Float[Array, "b t d"], t: Int[Array, " b"] | None = None
    ) -> Float[Array, "b t d"]:
        """The clean state of any state `x` at diffusion step `t` (None in a baseline)."""
        first = self.down_blocks[0][0]
        shortcut = x if first.inputs == first.outputs else first.shortcut(x)
        times = None if t is None else self.time_terms(t)
        features = self._features(first.first.convolution(x), shortcut, times)
        return self.output(features).astype(jnp.float32)

    def predict_actions(
        self,
        actions: Float[Array, "b t a"],
        condition: ConditionTerms,
        times: TimeTerms,
    ) -> Float[Array, "b t a"]:
        """The action part of the clean state, for a projected state with this action part.

        The same numbers as `__call__` on the whole state: what is fixed comes in as `condition` and
        `times`, and what the projection would overwrite is not computed.
        """
        first, part = self.down_blocks[0][0], self.layout.action_part
        convolved = condition.convolved + first.first.convolution.share(actions, part)
        if first.inputs == first.outputs:
            before, after = self.layout.classes, self.layout.observation
            added = jnp.pad(actions, ((0, 0), (0, 0), (before, after)))
        else:
            added = first.shortcut.share(actions, part)
        features = self._features(convolved, condition.shortcut + added, times)
        return self.output.columns(features, part).astype(jnp.float32)

    def time_terms(self, t: Int[Array, " n"]) -> TimeTerms:
        """What each residual block adds at diffusion steps `t`, in the blocks' order."""
        if not self.time_embedding:
            return None
        embedding = self.time_hidden(sinusoid(t, self.width))
        embedding = self.time_output(jax.nn.mish(embedding))
        return tuple(block.time_term(embedding) for block in self._blocks())

    def condition_terms(
        self,
        task: Float[Array, "b k"],
        start: Float[Array, "b o"],
        goal: Float[Array, "b o"],
        horizon: int,
    ) -> ConditionTerms:
        """Class and observations through the first convolution and its shortcut.

        Observations stand at the first and last step only, so each meets two taps, not 3 per step.
        """
        first, layout = self.down_blocks[0][0], self.layout
        task, start, goal = (x.astype(self.dtype) for x in (task, start, goal))

        def spread(term: Float[Array, "b c"]) -> Float[Array, "b t c"]:
            return jnp.repeat(term[:, None], horizon, axis=1)

        def ends(at_start: Float[Array, "b n c"], at_goal: Float[Array, "b n c"]) -> Array:
            """The first n steps' rows, the last n steps' rows, summed where they meet."""
            count = at_start.shape[1]
            return earlier(at_start, horizon - count) + later(at_goal, horizon - count)

        convolution = first.first.convolution
        kernel = convolution.weights(layout.observation_part)
        before, here, after = (task @ tap for tap in convolution.weights(layout.class_part))
        convolved = (
            spread(here + convolution.bias.astype(self.dtype))
            + later(spread(before)[:, 1:])
            + earlier(spread(after)[:, 1:])
            + ends(
                jnp.stack([start @ kernel[1], start @ kernel[0]], axis=1),
                jnp.stack([goal @ kernel[2], goal @ kernel[1]], axis=1),
            )
        )
        if first.inputs == first.outputs:
            rows = spread(jnp.pad(task, ((0, 0), (0, layout.actions + layout.observation))))
            known = ((0, 0), (layout.classes + layout.actions, 0))
            shortcut = rows + ends(jnp.pad(start, known)[:, None], jnp.pad(goal, known)[:, None])
        else:
            observation = first.shortcut.weights(layout.observation_part)[0]
            fixed = task @ first.shortcut.weights(layout.class_part)[0]
            shortcut = spread(fixed + first.shortcut.bias.astype(self.dtype)) + ends(
                (start @ observation)[:, None], (goal @ observation)[:, None]
            )
        return ConditionTerms(convolved, shortcut)

    def _blocks(self) -> Iterator[ResidualBlock]:
        for blocks in (*self.down_blocks, self.middle, *self.up_blocks):
            yield from blocks

    def _features(
        self,
        convolved: Float[Array, "b t c"],
        shortcut: Float[Array, "b t c"],
        times: TimeTerms,
    ) -> Float[Array, "b t w"]:
        """Everything between the first convolution and the last one."""
        terms = iter(times) if times is not None else iter([None] * len(list(self._blocks())))
        skips = []
        x = self.down_blocks[0][0].finish(convolved, shortcut, next(terms))
        x = self.down_blocks[0][1](x, next(terms))
        for down_sample, blocks in zip(self.down_samples, self.down_blocks[1:], strict=True):
            x = down_sample(x)
            for block in blocks:
                x = block(x, next(terms))
            # The first level's output is never used again, as published.
            skips.append(x)
        for block in self.middle:
            x = block(x, next(terms))
        for blocks, up_sample in zip(self.up_blocks, self.up_samples, strict=True):
            x = jnp.concatenate([x, skips.pop()], axis=-1)
            for block in blocks:
                x = block(x, next(terms))
            x = up_sample(x)
        return self.head(x)
