"""Upsampling a flow by convex combinations of its neighbourhood (RAFT, 2003.12039, section 3.3)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.errors import InputError


def convex_upsampling(
    flow: Float[Array, "b h w d"], mask: Float[Array, "b h w m"], factor: int
) -> Float[Array, "b fh fw d"]:
    """Every fine pixel is a mean of the 3 x 3 coarse pixels around it, times `factor`.

    mask: 9 * factor**2 logits a coarse pixel: by neighbour (row-major), then by the fine pixel's
        row and column; a softmax over the neighbours weighs them. Beyond the edge the flow is 0.
    InputError for a mask of other channels.
    """
    b, height, width, parts = flow.shape
    if mask.shape != (b, height, width, 9 * factor**2):
        raise InputError(
            f"convex_upsampling: mask {mask.shape} for flow {flow.shape}: expected "
            f"{(b, height, width, 9 * factor**2)}"
        )
    logits = mask.astype(jnp.float32).reshape(b, height, width, 9, factor, factor)
    weights = jax.nn.softmax(logits, axis=3)
    padded = jnp.pad(factor * flow.astype(jnp.float32), ((0, 0), (1, 1), (1, 1), (0, 0)))
    around = jnp.stack(
        [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=3
    )
    fine = jnp.einsum("bhwkpq,bhwkd->bhpwqd", weights, around, precision="highest")
    return fine.reshape(b, height * factor, width * factor, parts).astype(flow.dtype)
