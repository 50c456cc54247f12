"""The sampling on a TPU: a cloud stays on the chip for all its steps.

Grid: clouds, independent. A program has the coordinates of its cloud as planes [d, rows, 128] in
VMEM (n = 8,192: 64 x 128, eight registers a plane) and the running minimum of distances in scratch;
a step is a few operations on whole planes, and what it costs is the latency of two reductions to a
scalar. The chosen point's coordinates are masked sums, since a TPU cannot read a lane by its
number. Indices go to SMEM one by one.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float, Int

from jaxvision.ops.dispatch import over_batch
from jaxvision.ops.furthest_point_sampling.reference import FAR

LANES, SUBLANES = 128, 8


def working_set(n: int, d: int) -> int:
    """Bytes on the chip at once: coordinates in two buffers, distances, and four planes of a step
    that do not fit into registers."""
    plane = 4 * -(-n // (LANES * SUBLANES)) * LANES * SUBLANES
    return plane * (2 * d + 1 + 4)


def sample(
    points: Float[Array, "b n d"], first: int, samples: int, interpret: Any = False
) -> Int[Array, "b samples"]:
    """See `reference.sample`; `working_set` is at most a core's memory."""
    return over_batch(lambda p: _sample(p, first, samples, interpret), points)


def _sample(points: Array, first: int, samples: int, interpret: Any) -> Array:
    b, n, d = points.shape
    rows = -(-n // (LANES * SUBLANES)) * SUBLANES
    planes = jnp.pad(jnp.swapaxes(points, 1, 2), ((0, 0), (0, 0), (0, rows * LANES - n)))

    def kernel(planes_ref, indices_ref, distance_ref):
        shape = (rows, LANES)
        number = jax.lax.broadcasted_iota(jnp.int32, shape, 0) * LANES
        number += jax.lax.broadcasted_iota(jnp.int32, shape, 1)
        # What is no point is nearer than any.
        distance_ref[...] = jnp.where(number < n, FAR, -1.0)

        def step(turn: Array, chosen: Array) -> Array:
            indices_ref[0, turn] = chosen
            here, squared = number == chosen, jnp.zeros(shape, jnp.float32)
            for axis in range(d):
                plane = planes_ref[axis]
                difference = plane - jnp.sum(jnp.where(here, plane, 0.0))
                squared += difference * difference
            distance = jnp.minimum(distance_ref[...], squared)
            distance_ref[...] = distance
            return jnp.min(jnp.where(distance == jnp.max(distance), number, n - 1))

        jax.lax.fori_loop(0, samples, step, jnp.int32(first))

    indices = pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((b, 1, samples), jnp.int32),
        grid=(b,),
        in_specs=[pl.BlockSpec((None, d, rows, LANES), lambda i: (i, 0, 0, 0))],
        out_specs=pl.BlockSpec((None, 1, samples), lambda i: (i, 0, 0), memory_space=pltpu.SMEM),
        scratch_shapes=[pltpu.VMEM((rows, LANES), jnp.float32)],
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel",)),
        cost_estimate=_cost(points, samples),
        interpret=interpret,
    )(planes.reshape(b, d, rows, LANES))
    return indices[:, 0]


def _cost(points: Array, samples: int) -> pl.CostEstimate:
    b, n, d = points.shape
    return pl.CostEstimate(
        flops=b * n * samples * (3 * d + 3),
        transcendentals=0,
        bytes_accessed=points.nbytes + 4 * b * samples,
    )
