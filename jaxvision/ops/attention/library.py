"""Attention kernels that others keep: cuDNN's on NVIDIA GPUs, JAX's splash attention on TPUs."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.ops.dispatch import over_batch

# Tokens the splash kernel reads at a time, largest first; its least is 128.
BLOCKS = (512, 384, 256, 128)


def cudnn(
    query: Float[Array, "b n h d"], key: Float[Array, "b n h d"], value: Float[Array, "b n h d"]
) -> Float[Array, "b n h d"]:
    """See `attention`. Tracing it needs JAX's CUDA wheels."""
    return jax.nn.dot_product_attention(query, key, value, scale=1.0, implementation="cudnn")


def splash(
    query: Float[Array, "b n h d"],
    key: Float[Array, "b n h d"],
    value: Float[Array, "b n h d"],
    interpret: bool = False,
) -> Float[Array, "b n h d"]:
    """See `attention`.  interpret: run the kernel step by step, on any device."""
    local = functools.partial(_splash, interpret=interpret)
    return over_batch(local, query, key, value, heads=2)


def _splash(query: Array, key: Array, value: Array, interpret: bool) -> Array:
    # Imported here: it belongs to TPUs, and takes a second.
    from jax.experimental.pallas.ops.tpu import splash_attention as library

    n, heads = query.shape[1:3]
    padded = -(-n // 128) * 128
    block = next(size for size in BLOCKS if padded % size == 0)
    mask = library.MultiHeadMask([library.FullMask((padded, padded))] * heads)
    kernel = library.make_splash_mha_single_device(
        mask, block_sizes=_block_sizes(library, block), interpret=interpret
    )
    # Padding is a segment of its own, that no token attends to.
    segment = (jnp.arange(padded) >= n).astype(jnp.int32)
    segments = library.SegmentIds(segment, segment)

    def heads_first(x: Array) -> Array:
        return jnp.swapaxes(jnp.pad(x, ((0, 0), (0, padded - n), (0, 0), (0, 0))), 1, 2)

    one = functools.partial(kernel, segment_ids=segments)
    mixed = jax.vmap(one)(*(heads_first(x) for x in (query, key, value)))
    return jnp.swapaxes(mixed, 1, 2)[:, :n].astype(value.dtype)


def _block_sizes(library: Any, block: int) -> Any:
    return library.BlockSizes(
        block_q=block,
        block_kv=block,
        block_q_dkv=block,
        block_kv_dkv=block,
        block_q_dq=block,
        block_kv_dq=block,
    )
