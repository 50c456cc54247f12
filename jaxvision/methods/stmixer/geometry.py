"""What the decoder reads of its queries' boxes (section 3.3).

A query's box is (cx, cy, z, r) in pixels of the input, see `ops/boxes.py`. All of it is float32:
half precision would lose parts of a pixel.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.ops import boxes as box_ops

# What the coordinates are divided by before they become angles.
CODE_SCALE = (1000.0, 1000.0, 1.0, 1.0)
LEAST_SHARE = 1e-7


def whole_frames(sizes: Float[Array, "b 4"], queries: int) -> Float[Array, "b {queries} 4"]:
    """Every query's first box: the whole frame. sizes: (w, h, w, h) of each clip, unpadded."""
    frame = jnp.concatenate([jnp.zeros_like(sizes[:, :2]), sizes[:, :2]], axis=-1)
    boxes = box_ops.to_scale_and_ratio(frame.astype(jnp.float32))
    return jnp.broadcast_to(boxes[:, None], (boxes.shape[0], queries, 4))


def position_code(xyzr: Float[Array, "b n 4"], width: int) -> Float[Array, "b n {width}"]:
    """Sinusoids of the four coordinates; no gradient reaches them."""
    return box_ops.sinusoids(jax.lax.stop_gradient(xyzr) / jnp.array(CODE_SCALE), width)


def attention_bias(
    xyzr: Float[Array, "b n 4"], temperature: Float[Array, " heads"]
) -> Float[Array, "b heads n n"]:
    """log of the share of query i's box within query j's, times each head's temperature; no
    gradient reaches the boxes."""
    boxes = box_ops.from_scale_and_ratio(jax.lax.stop_gradient(xyzr))
    share = box_ops.every_pair(box_ops.share_inside, boxes, boxes)
    return jnp.log(share + LEAST_SHARE)[:, None] * temperature[:, None, None]
