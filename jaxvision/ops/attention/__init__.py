"""Multi-head attention by whatever is fast where the program runs.

| implementation | what it is | chosen for |
| --- | --- | --- |
| "reference" | scores as one array, any device | everything else |
| "mapped" | one head at a time, whose scores stay in the cache | CPUs, from 512 tokens |
| "mosaic_tpu", "triton" | our kernels for few tokens and narrow heads | 128 tokens, heads of 16 |
| "splash" | JAX's kernel for TPUs, padded to 128 tokens | TPUs, bfloat16, from 1,024 tokens |
| "cudnn" | NVIDIA's kernel | GPUs, bfloat16, heads of 8 to 128 |
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.errors import InputError
from jaxvision.ops.attention import library, mapped, mosaic_tpu, reference, triton
from jaxvision.ops.dispatch import choose, kernel_or_reference

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
MAPPED_TOKENS, SPLASH_TOKENS = 512, 1024


def attention(
    query: Float[Array, "b n h d"],
    key: Float[Array, "b n h d"],
    value: Float[Array, "b n h d"],
    *,
    implementation: str | None = None,
) -> Float[Array, "b n h d"]:
    """softmax(query key^T) value per head; scale the query beforehand.

    Scores and softmax are float32; the weights are rounded to the value's dtype.
    InputError for shapes or dtypes that differ or an implementation that cannot run here.
    """
    for name, array in (("key", key), ("value", value)):
        if array.shape != query.shape:
            raise InputError(f"attention: {name} {array.shape}, expected {query.shape}")
        if array.dtype != query.dtype:
            raise InputError(f"attention: {name} of dtype {array.dtype}, expected {query.dtype}")
    if query.ndim != 4 or 0 in query.shape:
        raise InputError(
            f"attention: query {query.shape}: expected [batch, tokens, heads, width], not empty"
        )

    def preferred(platform: str) -> str:
        return _preferred(platform, query)

    name = choose("attention", implementation, IMPLEMENTATIONS, preferred)
    if name in ("mosaic_tpu", "triton") and not _few_and_narrow(query):
        raise InputError(
            f"attention: query {query.shape}: {name!r} takes up to {FEW_TOKENS} tokens and heads "
            f"of up to {NARROW}"
        )
    return IMPLEMENTATIONS[name](query, key, value)


def _few_and_narrow(query: Array) -> bool:
    return query.shape[1] <= FEW_TOKENS and query.shape[3] <= NARROW


def _preferred(platform: str, query: Array) -> str:
    tokens, width = query.shape[1], query.shape[3]
    half = query.dtype == jnp.bfloat16
    if platform == "cpu":
        return "mapped" if tokens >= MAPPED_TOKENS else "reference"
    if _few_and_narrow(query):
        return kernel_or_reference(platform)
    if platform == "tpu" and half and tokens >= SPLASH_TOKENS:
        return "splash"
    if platform == "gpu" and half and width % 8 == 0 and width <= 128:
        return "cudnn"
    return "reference"
