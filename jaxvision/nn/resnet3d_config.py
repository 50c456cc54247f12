"""Settings of SlowOnly and SlowFast networks, and the published ones.

Two code bases trained the published weights, and their networks differ in more than names. Every
difference is a setting here: where both have a value, neither is a default.

| | PySlowFast (STMixer) | AlphAction (CycleACR) |
| --- | --- | --- |
| border of the stem's pool | 1 | 0 |
| from fast to slow | norm and ReLU | a bias alone |
| stage 5 | stride 2 | dilation 2 |
| windows over time, in a stage | the first 3, 4, 6, 3 blocks | every block |
| non-local blocks | over time too, mean or softmax | softmax, frames in groups of 4 |

Stages are numbered as in the papers: the stem is 1, residual stages are 2 to 5.
"""

import dataclasses
from typing import Literal, NamedTuple

import jax.numpy as jnp

from jaxvision.errors import InputError

FourStages = tuple[int, int, int, int]
# Residual blocks of stages 2 to 5, by depth.
BLOCKS: dict[int, FourStages] = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
# A bottleneck's output in units of its inner width.
EXPANSION = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class NormConfig:
    """Batch norm's setting.

    frozen: running statistics are used in training too. (Whether scale and shift are trained is the
        optimizer's: STMixer trains them, CycleACR does not.)
    groups: see `BatchNorm`.
    """

    frozen: bool = False
    groups: int = 1
    momentum: float = 0.1
    epsilon: float = 1e-5


@dataclasses.dataclass(frozen=True, kw_only=True)
class NonLocalConfig:
    """Non-local blocks (1711.07971, section 3).

    weighting: "softmax" of scores over the root of the width, or "mean": scores over the number of
        places (`dot_product` upstream).
    pool: window and stride (frames, rows, columns) of what is attended to.
    group: frames that attend to each other; None: all.
    """

    weighting: Literal["softmax", "mean"]
    pool: tuple[int, int, int]
    group: int | None = None


class BlockShape(NamedTuple):
    """A residual block: channels in, inside and out, frames of its first convolution, stride and
    dilation of its 3x3 one, whether its input is projected, and the non-local block behind it."""

    inputs: int
    inner: int
    outputs: int
    window: int
    stride: int
    dilation: int
    shortcut: bool
    non_local: NonLocalConfig | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class PathwayConfig:
    """One pathway. Tuples of four have an entry for each of stages 2 to 5.

    width: channels of the stem, and of the first stage's inner convolutions.
    stem_window: frames that the stem sees.
    windows: frames that a block's first convolution sees.
    long_blocks: how many first blocks of a stage have that window; the others see 1. None: all.
    strides, dilations: of a stage's 3x3 convolutions; the stride is its first block's.
    non_local: (stage, block, what): the non-local block behind that block of that stage.
    """

    width: int
    stem_window: int
    windows: FourStages
    long_blocks: FourStages | None
    strides: FourStages
    dilations: FourStages
    non_local: tuple[tuple[int, int, NonLocalConfig], ...] = ()

    def outputs(self, number: int) -> int:
        """Channels behind stage `number`, 1 to 5."""
        return self.width if number == 1 else EXPANSION * self.width * 2 ** (number - 2)

    def stage(self, number: int, inputs: int, blocks: int) -> tuple[BlockShape, ...]:
        """The blocks of stage `number` (2 to 5), which `inputs` channels enter."""
        at, outputs = number - 2, self.outputs(number)
        long_blocks = blocks if self.long_blocks is None else self.long_blocks[at]
        non_local = {block: kind for stage, block, kind in self.non_local if stage == number}
        changes = inputs != outputs or self.strides[at] > 1 or self.dilations[at] > 1
        return tuple(
            BlockShape(
                inputs=inputs if i == 0 else outputs,
                inner=outputs // EXPANSION,
                outputs=outputs,
                window=self.windows[at] if i < long_blocks else 1,
                stride=self.strides[at] if i == 0 else 1,
                dilation=self.dilations[at],
                shortcut=i == 0 and changes,
                non_local=non_local.get(i),
            )
            for i in range(blocks)
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class FusionConfig:
    """What the slow pathway takes from the fast one, behind stages 1 to 4.

    window: frames of the convolution.  stride: fast frames for a slow one ("alpha").
    ratio: channels out for a channel in.  norm: batch norm and ReLU behind it, and no bias.
    """

    window: int
    stride: int
    ratio: int
    norm: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResNet3DConfig:
    """A whole network.

    fast, fusion: both, or None for a network of one pathway.
    stem_pool_padding: pixels around a frame in the stem's 3x3 max pool.
    remat: blocks are computed again in the backward pass.
    """

    depth: int
    slow: PathwayConfig
    fast: PathwayConfig | None = None
    fusion: FusionConfig | None = None
    stem_pool_padding: int
    norm: NormConfig
    remat: bool = False
    dtype: jnp.dtype = jnp.float32

    def __post_init__(self):
        if self.depth not in BLOCKS:
            raise InputError(
                f"depth {self.depth} of a video ResNet; expected one of {list(BLOCKS)}"
            )
        if (self.fast is None) != (self.fusion is None):
            raise InputError("a fast pathway needs a fusion, and a fusion needs a fast pathway")

    @property
    def pathways(self) -> tuple[PathwayConfig, ...]:
        """The slow one, and the fast one if there is one."""
        return (self.slow,) if self.fast is None else (self.slow, self.fast)

    def stem(self, pathway: int) -> tuple[int, int]:
        """(channels out, frames of the window) of a pathway's stem."""
        return self.pathways[pathway].width, self.pathways[pathway].stem_window

    def stage(self, pathway: int, number: int) -> tuple[BlockShape, ...]:
        """The blocks of stage `number` (2 to 5) of pathway 0 or 1."""
        inputs = self.pathways[pathway].outputs(number - 1)
        fused = self.fused(number - 1)
        if pathway == 0 and fused is not None:
            inputs += fused[1]
        return self.pathways[pathway].stage(number, inputs, BLOCKS[self.depth][number - 2])

    def fused(self, number: int) -> tuple[int, int, int] | None:
        """(channels in, out, frames of the window) of the fusion behind stage `number`, 1 to 4."""
        if self.fast is None or self.fusion is None:
            return None
        inputs = self.fast.outputs(number)
        return inputs, self.fusion.ratio * inputs, self.fusion.window


def strided_network(
    depth: int,
    *,
    two_pathways: bool,
    fusion_window: int = 7,
    non_local: NonLocalConfig | None = None,
    norm: NormConfig,
    remat: bool = False,
    dtype: jnp.dtype = jnp.float32,
) -> ResNet3DConfig:
    """PySlowFast's networks as STMixer uses them: SlowOnly 4x16 R50; SlowFast 8x8 R50, fusion over
    7 frames; SlowFast 8x8 R101 with non-local blocks in the slow stage 4, fusion over 5."""
    behind = tuple((4, block, non_local) for block in (6, 13, 20)) if non_local else ()

    def pathway(width: int, stem_window: int, windows: FourStages, **more) -> PathwayConfig:
        return PathwayConfig(
            width=width,
            stem_window=stem_window,
            windows=windows,
            long_blocks=(3, 4, 6, 3),
            strides=(1, 2, 2, 2),
            dilations=(1, 1, 1, 1),
            **more,
        )

    fusion = FusionConfig(window=fusion_window, stride=4, ratio=2, norm=True)
    return ResNet3DConfig(
        depth=depth,
        slow=pathway(64, 1, (1, 1, 3, 3), non_local=behind),
        fast=pathway(8, 5, (3, 3, 3, 3)) if two_pathways else None,
        fusion=fusion if two_pathways else None,
        stem_pool_padding=1,
        norm=norm,
        remat=remat,
        dtype=dtype,
    )


def dilated_network(
    depth: int, *, norm: NormConfig, remat: bool = False, dtype: jnp.dtype = jnp.float32
) -> ResNet3DConfig:
    """AlphAction's SlowFast 8x8 as CycleACR uses it: stride 16, without non-local blocks."""

    def pathway(width: int, stem_window: int, windows: FourStages) -> PathwayConfig:
        return PathwayConfig(
            width=width,
            stem_window=stem_window,
            windows=windows,
            long_blocks=None,
            strides=(1, 2, 2, 1),
            dilations=(1, 1, 1, 2),
        )

    return ResNet3DConfig(
        depth=depth,
        slow=pathway(64, 1, (1, 1, 3, 3)),
        fast=pathway(8, 5, (3, 3, 3, 3)),
        fusion=FusionConfig(window=5, stride=4, ratio=2, norm=False),
        stem_pool_padding=0,
        norm=norm,
        remat=remat,
        dtype=dtype,
    )
