"""Mixup (1710.09412) and CutMix (1905.04899) of a batch, on the device, one draw per group.

The partner of sample i of a group of n is sample n-1-i of the same group: a group is what one
process of the paper's run held.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num, PRNGKeyArray

from jaxvision.ops.cross_entropy import smooth_one_hot


class Mix(NamedTuple):
    """One draw per group.

    ratio: share that a sample keeps of itself, drawn from Beta(alpha, alpha), in [0, 1].
    cut: paste a box of the partner instead of blending.
    centre: (y, x) of the box, in pixels.
    """

    ratio: Float[Array, " g"]
    cut: Bool[Array, " g"]
    centre: Int[Array, "g 2"]


def draw_mix(
    rng: PRNGKeyArray,
    groups: int,
    size: tuple[int, int],
    *,
    mixup_alpha: float,
    cutmix_alpha: float,
    probability: float = 1.0,
    switch: float = 0.5,
) -> Mix:
    """A draw for each of `groups` groups of pictures of `size` (height, width).

    With `probability` a group is mixed at all; where both alphas are above 0, `switch` is the
    probability of CutMix.
    """
    keys = jax.random.split(rng, 5)
    if mixup_alpha > 0 and cutmix_alpha > 0:
        cut = jax.random.bernoulli(keys[0], switch, (groups,))
    else:
        cut = jnp.full((groups,), cutmix_alpha > 0)
    ratio = jnp.where(
        cut,
        _symmetric_beta(keys[1], cutmix_alpha, groups),
        _symmetric_beta(keys[2], mixup_alpha, groups),
    )
    mixed = jax.random.bernoulli(keys[3], probability, (groups,))
    if mixup_alpha <= 0 and cutmix_alpha <= 0:
        mixed = jnp.zeros_like(mixed)
    centre = jax.random.randint(keys[4], (groups, 2), 0, jnp.array(size))
    return Mix(jnp.where(mixed, ratio, 1.0), cut & mixed, centre)


def _symmetric_beta(key: PRNGKeyArray, alpha: float, count: int) -> Float[Array, " count"]:
    alpha = max(alpha, 1e-6)
    return jax.random.beta(key, alpha, alpha, (count,))


def box_of(mix: Mix, size: tuple[int, int]) -> Int[Array, "g 2 2"]:
    """((top, left), (bottom, right)) of each group's box: side int(length * sqrt(1 - ratio)), half
    of it (rounded down) on either side of the centre, clipped to the picture."""
    lengths = jnp.array(size)
    sides = jnp.floor(lengths * jnp.sqrt(1 - mix.ratio)[:, None]).astype(jnp.int32)
    low, high = mix.centre - sides // 2, mix.centre + sides // 2
    return jnp.clip(jnp.stack([low, high], axis=1), 0, lengths)


def mix_batch(
    pictures: Num[Array, "b *between h w c"],
    labels: Int[Array, " b"],
    mix: Mix,
    *,
    classes: int,
    smoothing: float,
) -> tuple[Float[Array, "b *between h w c"], Float[Array, "b classes"], Float[Array, " g"]]:
    """Mixed pictures (every frame of a clip alike), soft targets, and the ratio that counted: that
    of the clipped box's area for CutMix. The batch must divide into groups of even size."""
    groups, (height, width) = len(mix.ratio), pictures.shape[-3:-1]
    (top, left), (bottom, right) = jnp.moveaxis(box_of(mix, (height, width)), 0, -1)
    area = ((bottom - top) * (right - left)).astype(jnp.float32)
    ratio = jnp.where(mix.cut, 1 - area / (height * width), mix.ratio)
    rows, columns = jnp.arange(height)[:, None], jnp.arange(width)
    inside = jax.vmap(
        lambda t, le, b, r: (rows >= t) & (rows < b) & (columns >= le) & (columns < r)
    )
    # What each pixel keeps of its own sample: 0 or 1 for CutMix, the ratio for mixup.
    kept = jnp.where(
        mix.cut[:, None, None], ~inside(top, left, bottom, right), ratio[:, None, None]
    )

    grouped = pictures.reshape(groups, -1, *pictures.shape[1:])
    between = (1,) * (pictures.ndim - 4)
    kept = kept.reshape(groups, 1, *between, height, width, 1).astype(jnp.float32)
    mixed = grouped * kept + grouped[:, ::-1] * (1 - kept)

    target = smooth_one_hot(labels, classes, smoothing).reshape(groups, -1, classes)
    share = ratio[:, None, None]
    target = target * share + target[:, ::-1] * (1 - share)
    return mixed.reshape(pictures.shape), target.reshape(-1, classes), ratio
