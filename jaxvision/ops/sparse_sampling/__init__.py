"""Reading feature maps at a few points: the sampling of SparseFormer (2304.03768, section 3.2) and
of STMixer (2303.15879, section 3.2).

    sparse_sampling(features, points)                         # [b, n, p, c]
    sparse_sampling(levels, points, weights, groups=4, frames="shared", reduce="points")

Implementations: "reference" (a gather; any device), "mosaic_tpu" (products with hat functions in
the place of gathers, small maps), "triton" (gathers on NVIDIA GPUs; both have backward passes
without a scatter), "sparsecore" (rows fetched by a TPU's SparseCores). None takes the kernel of the
platform; on a TPU, levels of more than `HAT_ROWS` pixels go to the SparseCores, since the work of
the hat form grows with the map, or where there are none to XLA's gather beyond `MOST_HAT_ROWS`.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from jaxvision.errors import InputError
from jaxvision.ops.dispatch import choose, has_sparse_cores, platform
from jaxvision.ops.sparse_sampling import (
    means_over_points,
    mosaic_tpu,
    reference,
    sparsecore,
    triton,
)
from jaxvision.ops.sparse_sampling.geometry import PADDINGS, Padding, coordinates

Frames = Literal["trilinear", "shared"]
Reduce = Literal["frames", "points"]
MeansForm = Literal["linear", "frames"]
Sampler = Callable[..., Array]

# The hat form multiplies every point with every pixel, the gather reads 4 or 8 rows a point. By the
# TPU compiler's estimates the hat form is 4 to 6 times faster at 56 x 56, and its work grows with
# the map: XLA's gather catches up at three times as many pixels or more, and keeps copies of rows
# besides, half of whose lanes are empty at STMixer's 64 channels.
HAT_ROWS, MOST_HAT_ROWS = 64 * 64, 96 * 96
# Where a gather of a few rows is faster than products over whole maps: 37 ms beside 162 ms for
# STMixer's four levels on two cores; both ways the products win (benchmarks/stmixer.py).
FORWARD_BY_FRAME = ("cpu",)
# Where a kernel's points, pairs of numbers, fill whole rows of 128 lanes: those of all levels are
# not kept for the backward pass but made again, from fractions of the map in a denser order.
POINTS_AGAIN = ("tpu",)
KEPT = "sampled"
DTYPES = (jnp.float32, jnp.bfloat16)
ARRAYS = (jax.Array, np.ndarray)
Maps = Float[Array, "b *t h w c"] | Sequence[Float[Array, "b *t h w c"]]
Points = Float[Array, "b n p d"] | Sequence[Float[Array, "b n p d"]]


SAMPLERS: dict[str, Sampler] = {
    "reference": reference.sample_rows,
    "triton": triton.sample_rows,
    "mosaic_tpu": mosaic_tpu.sample_rows,
    "sparsecore": sparsecore.sample_rows,
}


def sparse_sampling(
    features: Maps,
    points: Points,
    weights: Float[Array, "b n p levels"] | None = None,
    *,
    groups: int = 1,
    padding: Padding = "zeros",
    frames: Frames = "trilinear",
    reduce: Reduce | None = None,
    implementation: str | None = None,
) -> Array:
    """Features interpolated at points, summed over levels.

    features: one map or several levels of equal channels and length, channels last.
    points: (x, y) or, for clips, (x, y, t), as fractions of the map (0 and 1 are its outer edges);
        one array for all levels or one per level. Outside the map reads zeros or, with
        padding="border", the nearest pixel; NaN reads zeros or the first pixel. Gradients are
        finite everywhere.
    weights: of each level at each point; None sums them as they are.
    groups: channels and points fall into this many groups; points of group g (the g-th part of p)
        read channels of group g alone.
    frames: of a clip: "trilinear" interpolates in time, too; "shared" reads every frame at the same
        (x, y).
    reduce: of "shared": the mean over "frames" [b, n, p, c/groups], or over the "points" of each
        group [b, n, groups, t, c/groups].

    Returns [b, n, p, c/groups], or with "shared" frames [b, n, p, t, c/groups], in the features'
    dtype. InputError for shapes that do not fit, an unknown option, or an implementation that
    cannot run here.
    """
    if reduce not in (None, "frames", "points"):
        raise InputError(f"sparse_sampling: reduce {reduce!r}: expected 'frames' or 'points'")
    if reduce is not None and frames != "shared":
        raise InputError(f"sparse_sampling: reduce={reduce!r} needs frames='shared'")
    levels, where = _as_levels(features, points)
    _check(levels, where, weights, groups=groups, padding=padding, frames=frames)
    if reduce is not None:
        means = sampled_means(
            levels, where, weights, groups=groups, padding=padding, implementation=implementation
        )
        return means[("frames", "points").index(reduce)]
    total = _sum_of_levels(
        levels,
        where,
        weights,
        groups=groups,
        padding=padding,
        frames=frames,
        implementation=implementation,
    )
    return total.astype(levels[0].dtype)


def frame_means(
    levels: Sequence[Float[Array, "b t h w c"]],
) -> tuple[Float[Array, "b h w c"], ...]:
    """The mean over frames of each level, for `sampled_means` that are asked several times."""
    return tuple(jnp.mean(level, axis=1, dtype=jnp.float32).astype(level.dtype) for level in levels)


class _Means(NamedTuple):
    """How both means are taken."""

    groups: int
    padding: Padding
    implementation: str | None


def sampled_means(
    features: Maps,
    points: Points,
    weights: Float[Array, "b n p levels"] | None = None,
    *,
    groups: int = 1,
    padding: Padding = "zeros",
    means: Sequence[Float[Array, "b h w c"]] | None = None,
    form: MeansForm | None = None,
    implementation: str | None = None,
) -> tuple[Float[Array, "b n p cg"], Float[Array, "b n g t cg"]]:
    """Both means of `sparse_sampling(..., frames="shared")`, over frames and over points.

    Sampling is linear: the mean over frames is a sample of the frames' mean, one map instead of t;
    the mean over points is a product with the map (see `means_over_points.py`). That is the form
    "linear"; "frames" samples every frame, and takes the means of that. None takes "linear", but
    for a CPU's forward pass, where a gather of the few rows around the points is faster.
    means: of `frame_means`, where they are at hand.
    """
    levels, where = _as_levels(features, points)
    _check(levels, where, weights, groups=groups, padding=padding, frames="shared")
    if form not in (None, "linear", "frames"):
        raise InputError(f"sampled_means: form {form!r}: expected 'linear' or 'frames'")
    if weights is None:
        weights = jnp.ones((*where[0].shape[:3], len(levels)), jnp.float32)
    means = frame_means(levels) if means is None else tuple(means)
    how = _Means(groups, padding, implementation)
    if form == "linear" or (form is None and platform() not in FORWARD_BY_FRAME):
        return _by_linearity(levels, where, weights, means, how)
    if form == "frames":
        return _by_frame(levels, where, weights, how)
    return _forward_by_frame(levels, where, weights, means, how)


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _forward_by_frame(
    levels: tuple[Array, ...],
    points: tuple[Array, ...],
    weights: Array,
    means: tuple[Array, ...],
    how: _Means,
) -> tuple[Array, Array]:
    """The forward pass by a sample of every frame, the backward pass by linearity."""
    return _by_frame(levels, points, weights, how)


def _keep(
    levels: tuple[Array, ...],
    points: tuple[Array, ...],
    weights: Array,
    means: tuple[Array, ...],
    how: _Means,
) -> tuple[tuple[Array, Array], tuple]:
    return _by_frame(levels, points, weights, how), (levels, points, weights, means)


def _pull_by_linearity(how: _Means, kept: tuple, cotangents: tuple[Array, Array]) -> tuple:
    def again(
        levels: tuple[Array, ...],
        points: tuple[Array, ...],
        weights: Array,
        means: tuple[Array, ...],
    ) -> tuple[Array, Array]:
        return _by_linearity(levels, points, weights, means, how)

    _, pull = jax.vjp(again, *kept)
    return pull(cotangents)


_forward_by_frame.defvjp(_keep, _pull_by_linearity)


def _by_frame(
    levels: tuple[Array, ...], points: tuple[Array, ...], weights: Array, how: _Means
) -> tuple[Array, Array]:
    sampled = _sum_of_levels(
        levels,
        points,
        weights,
        groups=how.groups,
        padding=how.padding,
        frames="shared",
        implementation=how.implementation,
    )
    b, n, p, t, width = sampled.shape
    grouped = sampled.reshape(b, n, how.groups, p // how.groups, t, width)
    both = (jnp.mean(of, axis=3, dtype=jnp.float32) for of in (sampled, grouped))
    over_frames, over_points = (mean.astype(levels[0].dtype) for mean in both)
    return over_frames, over_points


def _by_linearity(
    levels: tuple[Array, ...],
    points: tuple[Array, ...],
    weights: Array,
    means: tuple[Array, ...],
    how: _Means,
) -> tuple[Array, Array]:
    sample: Callable[..., Array] = partial(
        sparse_sampling,
        groups=how.groups,
        padding=how.padding,
        implementation=how.implementation,
    )
    if platform() in POINTS_AGAIN:
        sample = jax.checkpoint(sample, policy=jax.checkpoint_policies.save_only_these_names(KEPT))
    over_frames = sample(means, points, weights)
    over_points: Array = jnp.zeros((), jnp.float32)
    for number, (level, at) in enumerate(zip(levels, points, strict=True)):
        over_points = over_points + _points_of_level(level, at, weights[..., number], how)
    return over_frames, over_points.astype(levels[0].dtype)


def _points_of_level(
    features: Float[Array, "b t h w c"],
    points: Float[Array, "b n p 2"],
    weights: Float[Array, "b n p"],
    how: _Means,
) -> Float[Array, "b n g t cg"]:
    b, t, height, width, channels = features.shape
    n, groups, p = points.shape[1], how.groups, points.shape[2] // how.groups
    at = points.reshape(b, n, groups, p, 2).swapaxes(1, 2)
    mean = means_over_points.mean_over_points(
        features.reshape(b, t, height * width, channels),
        coordinates(at, (width, height), how.padding),
        weights.astype(jnp.float32).reshape(b, n, groups, p).swapaxes(1, 2),
        (width, height),
        means_over_points.preferred(height * width, platform()),
    )
    return mean.swapaxes(1, 2)


def _as_levels(features: Maps, points: Points) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    levels = (features,) if isinstance(features, ARRAYS) else tuple(features)
    if isinstance(points, ARRAYS):
        return levels, (points,) * len(levels)
    return levels, tuple(points)


def _sum_of_levels(
    levels: tuple[Array, ...],
    points: tuple[Array, ...],
    weights: Array | None,
    *,
    groups: int,
    padding: Padding,
    frames: Frames,
    implementation: str | None,
) -> Array:
    """[b, n, p, (t,) c/groups] over all levels: in float32 where there are several."""
    shared = levels[0].ndim == 5 and frames == "shared"
    total: Array = jnp.zeros((), jnp.float32)
    for number, (level, at) in enumerate(zip(levels, points, strict=True)):
        rows = math.prod(level.shape[2 if shared else 1 : -1])
        name = choose("sparse_sampling", implementation, SAMPLERS, partial(_preferred, rows))
        sampled = _sample_level(
            level, at, SAMPLERS[name], groups=groups, padding=padding, shared=shared
        )
        if weights is not None:
            weight = weights[..., number].astype(jnp.float32)
            sampled = sampled * weight.reshape(*weight.shape, *(1,) * (sampled.ndim - 3))
        # A single map needs no sum, and no float32 copy of it.
        total = sampled if len(levels) == 1 else total + sampled.astype(jnp.float32)
    return total


def _preferred(rows: int, platform: str) -> str:
    if platform == "gpu":
        return "triton"
    if platform != "tpu":
        return "reference"
    if has_sparse_cores():
        return "mosaic_tpu" if rows <= HAT_ROWS else "sparsecore"
    return "mosaic_tpu" if rows <= MOST_HAT_ROWS else "reference"


def _sample_level(
    features: Array,
    points: Array,
    sampler: Sampler,
    *,
    groups: int,
    padding: Padding,
    shared: bool,
) -> Array:
    b, *between, channels = features.shape
    n, p = points.shape[1:3]
    width = channels // groups
    # One map per sample and group; shared frames are channels of a still map.
    maps = features.reshape(b, *between, groups, width)
    frames = between[0] if shared else 1
    if shared:
        maps, between = jnp.moveaxis(maps, 1, -2), between[1:]
    maps = jnp.moveaxis(maps, len(between) + 1, 1) if groups > 1 else maps
    maps = maps.reshape(b * groups, -1, frames * width)
    sizes = tuple(between[::-1])
    at = jnp.moveaxis(points.reshape(b, n, groups, p // groups, -1), 2, 1)
    at = coordinates(at.reshape(b * groups, n * (p // groups), -1), sizes, padding)
    sampled = checkpoint_name(sampler(maps, at, sizes), KEPT)
    sampled = sampled.reshape(b, groups, n, p // groups, frames, width)
    sampled = jnp.moveaxis(sampled, 1, 2).reshape(b, n, p, frames, width)
    return sampled if shared else sampled[..., 0, :]


def _check(
    levels: tuple[Array, ...],
    points: tuple[Array, ...],
    weights: Array | None,
    *,
    groups: int,
    padding: str,
    frames: str,
) -> None:
    """InputError for the first thing that does not fit."""

    def refuse(problem: str) -> None:
        raise InputError(f"sparse_sampling: {problem}")

    if padding not in PADDINGS:
        refuse(f"padding {padding!r}: expected one of {', '.join(PADDINGS)}")
    if frames not in ("trilinear", "shared"):
        refuse(f"frames {frames!r}: expected 'trilinear' or 'shared'")
    if len(points) != len(levels) or not levels:
        refuse(f"{len(levels)} levels of features and points for {len(points)}")
    first = levels[0]
    for level in levels:
        if level.ndim not in (4, 5) or 0 in level.shape:
            refuse(f"features {level.shape}: expected [b, (t,) h, w, c] with nothing empty")
        if level.dtype not in DTYPES:
            refuse(f"features of dtype {level.dtype}: expected float32 or bfloat16")
        if (level.shape[0], level.shape[-1], level.ndim) != (
            first.shape[0],
            first.shape[-1],
            first.ndim,
        ):
            refuse(f"levels {first.shape} and {level.shape}: expected equal batches and channels")
    axes = 3 if first.ndim == 5 and frames == "trilinear" else 2
    for at in points:
        if at.ndim != 4 or at.shape[0] != first.shape[0] or at.shape[-1] != axes or 0 in at.shape:
            refuse(
                f"points {at.shape} for features {first.shape}: expected "
                f"[{first.shape[0]}, n, p, {axes}], n and p at least 1"
            )
        if not jnp.issubdtype(at.dtype, jnp.floating):
            refuse(f"points of dtype {at.dtype}: expected floats")
    if groups < 1 or first.shape[-1] % groups or points[0].shape[2] % groups:
        refuse(
            f"groups={groups} does not divide {first.shape[-1]} channels and "
            f"{points[0].shape[2]} points"
        )
    if weights is not None and weights.shape != (*points[0].shape[:3], len(levels)):
        refuse(f"weights {weights.shape}: expected {(*points[0].shape[:3], len(levels))}")
    if frames == "shared" and first.ndim != 5:
        refuse(f"frames='shared' for features {first.shape}: expected clips [b, t, h, w, c]")
