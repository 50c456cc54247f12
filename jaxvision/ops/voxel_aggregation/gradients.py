"""The gradient rule of the aggregation, and how its implementations meet a mesh."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvision.ops.dispatch import over_batch
from jaxvision.ops.voxel_aggregation.blocks import BlockMap
from jaxvision.ops.voxel_aggregation.forms import Form


def differentiable(
    forward: Callable[..., tuple[Array, Array, Array]],
    gradients: Callable[..., tuple[Array, Array]],
) -> Callable[..., Float[Array, "s v c"]]:
    """means(features, projection, coords, blocks, form, interpret=False): the mean over a voxel's
    reach in `aggregate`, without what the x forms subtract.

    forward(features, projection, coords, blocks, form, interpret): the means, and the blocks' sums
        and averages, which are kept.
    gradients(features, projection, coords, blocks, sums, averages, cotangent, form, interpret): by
        the features and by the projection (float32, summed over these shards).
    coords: absolute.  interpret: run kernels step by step, on any device.
    The result has the features' dtype, in the x forms float32.
    """

    @functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
    def means(
        features: Float[Array, "s v c"],
        projection: Float[Array, "c 3"],
        coords: Int[Array, "s v 3"],
        blocks: BlockMap,
        form: Form,
        interpret: Any = False,
    ) -> Float[Array, "s v c"]:
        return residuals(features, projection, coords, blocks, form=form, interpret=interpret)[0]

    def residuals(features, projection, coords, blocks, form, interpret):
        def local(features, coords, blocks, projection):
            return forward(features, projection, coords, blocks, form=form, interpret=interpret)

        out, sums, averages = over_batch(local, features, coords, blocks, whole=(projection,))
        return out, (features, projection, coords, blocks, sums, averages)

    def backward(form, interpret, kept, cotangent):
        features, projection, coords, blocks, sums, averages = kept

        def local(features, coords, blocks, sums, averages, cotangent, projection):
            by_features, by_projection = gradients(
                features,
                projection,
                coords,
                blocks,
                sums=sums,
                averages=averages,
                cotangent=cotangent,
                form=form,
                interpret=interpret,
            )
            # Each device's sum on an axis of its own: the one all-reduce comes after.
            return by_features, by_projection[None]

        batched = features, coords, blocks, sums, averages, cotangent
        by_features, by_projection = over_batch(local, *batched, whole=(projection,))
        by_projection = jnp.sum(by_projection, axis=0).astype(projection.dtype)
        return by_features.astype(features.dtype), by_projection, None, None

    means.defvjp(residuals, backward)
    return means
