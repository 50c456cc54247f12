"""Cutting video into cubes, and embedding the cubes."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Num

from jaxvision.nn.initializers import KERNEL_INITIALIZERS, torch_default_bias
from jaxvision.nn.linear import linear


def patchify(video: Num[Array, "b t h w c"], tubelet: int, patch: int) -> Num[Array, "b n cube"]:
    """Non-overlapping cubes in row-major (t, h, w) order; inside a cube (t, h, w, channel)."""
    b, t, h, w, c = video.shape
    cut = (t // tubelet, tubelet, h // patch, patch, w // patch, patch)
    cubes = video.reshape(b, *cut, c).transpose(0, 1, 3, 5, 2, 4, 6, 7)
    return cubes.reshape(b, -1, tubelet * patch * patch * c)


def unpatchify(
    cubes: Num[Array, "b n cube"], size: tuple[int, int, int], tubelet: int, patch: int
) -> Num[Array, "b t h w c"]:
    """Inverse of `patchify` for a video of `size` (t, h, w)."""
    t, h, w = size
    grid = (t // tubelet, h // patch, w // patch, tubelet, patch, patch, -1)
    return (
        cubes.reshape(cubes.shape[0], *grid)
        .transpose(0, 1, 4, 2, 5, 3, 6, 7)
        .reshape(cubes.shape[0], t, h, w, -1)
    )


class CubeEmbedding(nn.Module):
    """The strided 3-D convolution of a video ViT, as one matmul over cubes already cut.

    Taking cubes lets a masked encoder pay only for those it sees.
    kernel_init: a key of `KERNEL_INITIALIZERS`.
    """

    features: int
    dtype: jnp.dtype = jnp.float32
    kernel_init: str = "torch_default"
    use_bias: bool = True

    @nn.compact
    def __call__(self, cubes: Float[Array, "b n cube"]) -> Float[Array, "b n d"]:
        return linear(
            self.features,
            (None, "embed"),
            dtype=self.dtype,
            kernel=KERNEL_INITIALIZERS[self.kernel_init],
            bias=torch_default_bias(cubes.shape[-1]) if self.use_bias else None,
            name="projection",
        )(cubes)
