"""From points as fractions of a feature map to bounded coordinates between its pixels."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Padding = Literal["zeros", "border"]
PADDINGS = ("zeros", "border")


def coordinates(
    points: Float[Array, "*b d"], sizes: tuple[int, ...], padding: Padding
) -> Float[Array, "*b d"]:
    """Coordinates counted in pixels from the centre of the first one, in float32.

    points: (x, y) or (x, y, t), fractions of the width, height and length; 0 and 1 are the outer
    edges of the map (PyTorch's `align_corners=False`).  sizes: width, height[, length].

    "border" clamps into the map, without a gradient at or beyond its edge pixels' centres; "zeros"
    keeps what can still touch a pixel, and moves the rest to where nothing can. So what follows
    sees finite numbers only: a coordinate that is NaN reads as 0 ("border") or as outside.
    """
    size = jnp.array(sizes, jnp.float32)
    wanted = points.astype(jnp.float32) * size - 0.5
    low, high = (0.0, size - 1) if padding == "border" else (-1.0, size)
    inside = (wanted > low) & (wanted < high)
    bounded = jnp.clip(jnp.nan_to_num(wanted, nan=-1.0, posinf=jnp.inf), low, high)
    # The inner choice keeps a NaN from reaching the gradient of the outer one.
    return jnp.where(inside, jnp.where(inside, wanted, 0.0), jax.lax.stop_gradient(bounded))
