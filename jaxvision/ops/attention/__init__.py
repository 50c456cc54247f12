"""Multi-head attention by whatever is fast where the program runs.

| implementation | what it is | chosen for |
| --- | --- | --- |
| "reference" | scores as one array, any device | everything else |
| "mapped" | one head at a time, whose scores stay in the cache | CPUs, from 512 x 512 scores |
| "mosaic_tpu", "triton" | our kernels for few tokens and narrow heads | 128 tokens, heads of 16 |
| "splash" | JAX's kernel for TPUs, padded to 128 tokens | TPUs, bfloat16, from 1,024 x 1,024 |
| "cudnn" | NVIDIA's kernel | GPUs, bfloat16, heads of 8 to 128 |

Masks, biases and returned weights are the reference's alone; our kernels take queries and keys of
one length. What an implementation cannot serve goes to the reference.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxvision.errors import InputError
from jaxvision.ops.attention import library, mapped, mosaic_tpu, reference, triton
from jaxvision.ops.dispatch import KERNELS, choose, kernel_or_reference

IMPLEMENTATIONS: dict[str, Callable[..., Array]] = {
    "reference": reference.attend,
    "mapped": mapped.attend,
    "mosaic_tpu": mosaic_tpu.attend,
    "triton": triton.attend,
    "splash": library.splash,
    "cudnn": library.cudnn,
}
# What our kernels hold on the chip at once, and from where the others pay.
FEW_TOKENS, NARROW = 128, 16
MAPPED_SCORES, SPLASH_SCORES = 512**2, 1024**2


def attention(
    query: Float[Array, "b n h d"],
    key: Float[Array, "b m h d"],
    value: Float[Array, "b m h d"],
    *,
    key_mask: Bool[Array, "b m"] | None = None,
    causal: bool = False,
    bias: Float[Array, "#b #h #n #m"] | None = None,
    return_weights: bool = False,
    implementation: str | None = None,
) -> Any:
    """softmax(query key^T + bias) value per head, [b, n, h, d]; scale the query beforehand.

    key_mask: which keys take part (padding does not).
    causal: query i sees keys 0 to i.
    bias: added to the scores; minus infinity leaves a key out. Axes of 1 are repeated.
    return_weights: return (result, the softmax [b, h, n, m] in float32).

    A query that sees no key answers zeros. Scores and softmax are float32; the weights are rounded
    to the value's dtype before they meet it.
    InputError for shapes or dtypes that do not fit, or a named implementation that cannot serve
    the request or cannot run here.
    """
    _check(query, key, value, key_mask, bias)
    biased = causal or key_mask is not None or bias is not None

    def preferred(platform: str, kernels: bool = True) -> str:
        best = _fastest(platform, query, key, kernels)
        return "reference" if _missing(best, query, key, biased, return_weights) else best

    without_kernels = partial(preferred, kernels=False)
    name = choose("attention", implementation, IMPLEMENTATIONS, preferred, without_kernels)
    missing = _missing(name, query, key, biased, return_weights)
    if missing:
        raise InputError(
            f"attention: query {query.shape}, key {key.shape}: {name!r} {missing}; use 'reference' "
            "or None"
        )
    if name != "reference":
        return IMPLEMENTATIONS[name](query, key, value)
    lengths = query.shape[1], key.shape[1]
    scores = reference.score_bias(lengths, key_mask, causal, bias)
    if not return_weights:
        return reference.attend(query, key, value, scores)
    weights = reference.weights(query, key, scores)
    return reference.weighted(weights.astype(value.dtype), value), weights


def _check(
    query: Array, key: Array, value: Array, key_mask: Array | None, bias: Array | None
) -> None:
    if query.ndim != 4 or 0 in query.shape:
        raise InputError(
            f"attention: query {query.shape}: expected [batch, tokens, heads, width], not empty"
        )
    b, n, h, d = query.shape
    if key.ndim != 4 or key.shape != (b, key.shape[1], h, d) or key.shape[1] == 0:
        raise InputError(f"attention: key {key.shape}, expected ({b}, 1 or more, {h}, {d})")
    if value.shape != key.shape:
        raise InputError(f"attention: value {value.shape}, expected {key.shape}")
    for name, array in (("key", key), ("value", value)):
        if array.dtype != query.dtype:
            raise InputError(f"attention: {name} of dtype {array.dtype}, expected {query.dtype}")
    m = key.shape[1]
    if key_mask is not None and (key_mask.shape != (b, m) or key_mask.dtype != bool):
        raise InputError(
            f"attention: key mask {key_mask.dtype} {key_mask.shape}, expected bool ({b}, {m})"
        )
    full = (b, h, n, m)
    if bias is not None and (
        bias.ndim != 4 or any(s not in (1, f) for s, f in zip(bias.shape, full, strict=True))
    ):
        raise InputError(f"attention: bias {bias.shape}, expected {full} or 1 in place of any")


def _fastest(platform: str, query: Array, key: Array, kernels: bool) -> str:
    """The implementation to take if it can serve the request.  kernels: whether ours can run."""
    width, scores = query.shape[3], query.shape[1] * key.shape[1]
    half = query.dtype == jnp.bfloat16
    if platform == "cpu":
        return "mapped" if scores >= MAPPED_SCORES else "reference"
    if kernels and _few_and_narrow(query, key):
        return kernel_or_reference(platform)
    if platform == "tpu" and half and scores >= SPLASH_SCORES:
        return "splash"
    if platform == "gpu" and half and width % 8 == 0 and width <= 128:
        return "cudnn"
    return "reference"


def _missing(name: str, query: Array, key: Array, biased: bool, return_weights: bool) -> str | None:
    """What `name` lacks for the request; None where it can serve it."""
    if name == "reference":
        return None
    if return_weights:
        return "keeps no weights to return"
    if biased:
        return "takes no mask and no bias"
    if name in KERNELS.values():
        if query.shape != key.shape:
            return "takes as many queries as keys"
        if not _few_and_narrow(query, key):
            return f"takes up to {FEW_TOKENS} tokens and heads of up to {NARROW}"
    return None


def _few_and_narrow(query: Array, key: Array) -> bool:
    return max(query.shape[1], key.shape[1]) <= FEW_TOKENS and query.shape[3] <= NARROW
