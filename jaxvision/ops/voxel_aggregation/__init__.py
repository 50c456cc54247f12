"""LinK's aggregation over neighbouring blocks of voxels: large kernels at a constant cost.

Implementations: "reference" (any device), and the kernels "mosaic_tpu", "triton" and "mosaic_gpu"
(Hopper; never a default), which read the features sorted by block and keep phases on the chip.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.errors import InputError
from jaxvision.ops.dispatch import choose, kernel_or_reference
from jaxvision.ops.sparse_voxels import Sites
from jaxvision.ops.voxel_aggregation import mosaic_gpu, mosaic_tpu, reference, triton
from jaxvision.ops.voxel_aggregation.blocks import BlockMap, build_block_map, phases
from jaxvision.ops.voxel_aggregation.forms import FORMS, Form, subtracts_own

__all__ = ["FORMS", "BlockMap", "Form", "aggregate", "build_block_map"]

Aggregate = Callable[[Array, Array, Sites, BlockMap, Form], Array]


def with_means(means: Callable[..., Array]) -> Aggregate:
    """`aggregate` by an implementation of its means."""

    def run(
        features: Array, projection: Array, sites: Sites, blocks: BlockMap, form: Form
    ) -> Array:
        coords = sites.coords[..., 1:]
        out = means(features, projection, coords, blocks, form)
        if subtracts_own(form):
            out = out - features.astype(jnp.float32) * phases(coords, projection)
        return jnp.where(sites.valid[..., None], out, 0).astype(features.dtype)

    return run


IMPLEMENTATIONS: dict[str, Aggregate] = {
    "reference": with_means(reference.means),
    "mosaic_tpu": with_means(mosaic_tpu.means),
    "triton": with_means(triton.means),
    "mosaic_gpu": with_means(mosaic_gpu.means),
}


def aggregate(
    features: Float[Array, "s v c"],
    projection: Float[Array, "c 3"] | None,
    sites: Sites,
    blocks: BlockMap,
    form: Form,
    implementation: str | None = None,
) -> Float[Array, "s v c"]:
    """Mean over j in the neighbouring blocks of G_j k(p_i - p_j), p = projection @ (x, y, z).

    mean: k = 1.  cos: cos(p_i - p_j).  sin: sin(p_j - p_i).  cos_sin: their sum.
    x: mean(G_j p_j) - G_i p_i.  cos_x: the cos form plus the x form.
    Coordinates are those of `sites`; x needs their absolute values. Padding rows give zeros; the
    result has the features' dtype.
    implementation: None takes the fastest for the device.
    InputError for an unknown form or an implementation that cannot run here.
    """
    if form not in FORMS:
        raise InputError(f"aggregate: form {form!r}: expected one of {', '.join(FORMS)}")
    if projection is None:
        if form != "mean":
            raise InputError(f"aggregate: form {form!r} needs a projection")
        projection = jnp.zeros((features.shape[-1], 3), jnp.float32)
    name = choose("aggregate", implementation, IMPLEMENTATIONS, kernel_or_reference)
    return IMPLEMENTATIONS[name](features, projection, sites, blocks, form)
