"""Attention kernels that others keep: cuDNN's on NVIDIA GPUs, JAX's splash attention on TPUs.

Both pass over the keys block by block with a running maximum and sum, so scores never reach main
memory; both compute them again for the gradient.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvision.ops.dispatch import over_batch

# Tokens the splash kernel reads at a time, largest first; its least is 128.
BLOCKS = (512, 384, 256, 128)


def cudnn(
    query: Float[Array, "b n h d"], key: Float[Array, "b m h d"], value: Float[Array, "b m h d"]
) -> Float[Array, "b n h d"]:
    """See `attention`. Tracing it needs JAX's CUDA wheels."""
    return jax.nn.dot_product_attention(query, key, value, scale=1.0, implementation="cudnn")


def splash(
    query: Float[Array, "b n h d"],
    key: Float[Array, "b m h d"],
    value: Float[Array, "b m h d"],
    interpret: bool = False,
) -> Float[Array, "b n h d"]:
    """See `attention`.  interpret: run the kernel step by step, on any device."""
    local = functools.partial(_splash, interpret=interpret)
    return over_batch(local, query, key, value, heads=2)


def _splash(query: Array, key: Array, value: Array, interpret: bool) -> Array:
    # Imported here: it belongs to TPUs, and takes a second.
    from jax.experimental.pallas.ops.tpu import splash_attention as library

    n, heads = query.shape[1:3]
    padded = _padded(n), _padded(key.shape[1])
    mask = library.MultiHeadMask([library.FullMask(padded)] * heads)
    kernel = library.make_splash_mha_single_device(
        mask, block_sizes=_block_sizes(library, *padded), interpret=interpret
    )
    # Padding is a segment of its own, that no token attends to.
    segments = library.SegmentIds(_padding(query), _padding(key))
    one = functools.partial(kernel, segment_ids=segments)
    mixed = jax.vmap(one)(*(_heads_first(x) for x in (query, key, value)))
    return jnp.swapaxes(mixed, 1, 2)[:, :n].astype(value.dtype)


def _padded(tokens: int) -> int:
    return -(-tokens // 128) * 128


def _padding(x: Float[Array, "b n h d"]) -> Int[Array, "p"]:
    """0 for a token, 1 for padding."""
    return (jnp.arange(_padded(x.shape[1])) >= x.shape[1]).astype(jnp.int32)


def _heads_first(x: Float[Array, "b n h d"]) -> Float[Array, "b h p d"]:
    padding = _padded(x.shape[1]) - x.shape[1]
    return jnp.swapaxes(jnp.pad(x, ((0, 0), (0, padding), (0, 0), (0, 0))), 1, 2)


def _block_sizes(library: Any, queries: int, keys: int) -> Any:
    """The largest blocks that divide the padded lengths; forward, and for both gradients."""
    q, kv = (next(size for size in BLOCKS if n % size == 0) for n in (queries, keys))
    return library.BlockSizes(
        block_q=q, block_kv=kv, block_q_dkv=q, block_kv_dkv=kv, block_q_dq=q, block_kv_dq=kv
    )
