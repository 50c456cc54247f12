"""Mixing the sampled features of a token by matrices made from the token: channels first, points
second (AdaMixer 2203.16507, section 3.3; SparseFormer 2304.03768, section 3.2).

Implementations: "reference" (any device) and the fused kernels "mosaic_tpu" and "triton", which
read the matrices once and keep what lies between the two products on the chip.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.errors import InputError
from jaxvision.ops.adaptive_mixing import mosaic_tpu, reference, triton
from jaxvision.ops.dispatch import choose, kernel_or_reference

ACTIVATIONS = ("gelu", "relu", "none")
DTYPES = (jnp.float32, jnp.bfloat16)
Mixer = Callable[..., Array]


def _kernel(mixer: Mixer) -> Mixer:
    """A kernel of one list of tokens, for any leading axes."""

    def mix(x: Array, channel: Array, point: Array, *rest: Any) -> Array:
        lists = (array.reshape(-1, *array.shape[-2:]) for array in (x, channel, point))
        mixed = mixer(*lists, *rest)
        return mixed.reshape(*x.shape[:-2], *mixed.shape[1:])

    return mix


MIXERS: dict[str, Mixer] = {
    "reference": reference.mix,
    "triton": _kernel(triton.mix),
    "mosaic_tpu": _kernel(mosaic_tpu.mix),
}


def adaptive_mixing(
    x: Float[Array, "*n p c"],
    channel: Float[Array, "*n c c"],
    point: Float[Array, "*n o p"],
    channel_bias: Float[Array, " c"] | None = None,
    point_bias: Float[Array, " o"] | None = None,
    *,
    activations: tuple[str, str] = ("gelu", "gelu"),
    norm_epsilon: float | None = None,
    implementation: str | None = None,
) -> Float[Array, "*n o c"]:
    """second(norm(point @ first(norm(x @ channel + channel_bias)) + point_bias)).

    x: the sampled features of each token.  channel: rows are input channels.  point: rows are
    output points.  activations: `first` and `second`, each "gelu" (exact), "relu" or "none".
    norm_epsilon: of a norm over points and channels together, without scale and shift (STMixer);
    None leaves it out.
    InputError for shapes that do not fit or an implementation that cannot run here.
    """
    _check(x, channel, point, (channel_bias, point_bias), activations)
    name = choose("adaptive_mixing", implementation, MIXERS, kernel_or_reference)
    if channel_bias is None:
        channel_bias = jnp.zeros(x.shape[-1], jnp.float32)
    if point_bias is None:
        point_bias = jnp.zeros(point.shape[-2], jnp.float32)
    arrays = (x, channel, point, channel_bias, point_bias)
    return MIXERS[name](*arrays, activations, norm_epsilon)


def _check(
    x: Array,
    channel: Array,
    point: Array,
    biases: tuple[Array | None, Array | None],
    activations: tuple[str, str],
) -> None:
    """InputError for the first thing that does not fit."""

    def refuse(problem: str) -> None:
        raise InputError(f"adaptive_mixing: {problem}")

    if len(activations) != 2 or not set(activations) <= set(ACTIVATIONS):
        refuse(f"activations {activations!r}: expected two of {', '.join(ACTIVATIONS)}")
    if x.ndim < 3 or 0 in x.shape:
        refuse(f"x {x.shape}: expected [..., points, channels] with nothing empty")
    *lead, p, c = x.shape
    if channel.shape != (*lead, c, c):
        refuse(f"channel {channel.shape} for x {x.shape}: expected {(*lead, c, c)}")
    if point.ndim != x.ndim or point.shape[:-2] != tuple(lead) or point.shape[-1] != p:
        refuse(f"point {point.shape} for x {x.shape}: expected {(*lead, 'out', p)}")
    names, sizes = ("channel_bias", "point_bias"), (c, point.shape[-2])
    for name, bias, size in zip(names, biases, sizes, strict=True):
        if bias is not None and bias.shape != (size,):
            refuse(f"{name} {bias.shape}: expected {(size,)}")
    for name, array in (("x", x), ("channel", channel), ("point", point)):
        if array.dtype not in DTYPES:
            refuse(f"{name} of dtype {array.dtype}: expected float32 or bfloat16")
