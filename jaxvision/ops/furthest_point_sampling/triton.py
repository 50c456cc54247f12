"""The sampling on NVIDIA GPUs: one program a cloud, all steps in it.

Grid: clouds. Coordinates and the running minimum of distances of all points, padded to a power of
two, stay in the registers of 512 threads (n = 8,192: 64 numbers a thread); the chosen point's
coordinates come from memory by its number. A step costs two reductions over the program, where
XLA's loop launches kernels: 4,096 times for the published pyramid.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float, Int

from jaxvision.ops.dispatch import over_batch
from jaxvision.ops.furthest_point_sampling.reference import FAR
from jaxvision.ops.triton_backend import plgpu

WARPS = 16
# From 8,192 points on, registers overflow into the first cache; beyond this many it does, too.
MOST_POINTS = 16384


def sample(
    points: Float[Array, "b n d"], first: int, samples: int, interpret: Any = False
) -> Int[Array, "b samples"]:
    """See `reference.sample`; n is at most `MOST_POINTS`."""
    return over_batch(lambda p: _sample(p, first, samples, interpret), points)


def _sample(points: Array, first: int, samples: int, interpret: Any) -> Array:
    b, n, d = points.shape

    def kernel(points_ref, indices_ref):
        cloud = pl.program_id(0)
        number = jnp.arange(pl.next_power_of_2(n))
        real = number < n
        planes = [
            plgpu.load(points_ref.at[cloud, number, axis], mask=real, other=0.0)
            for axis in range(d)
        ]

        def step(turn: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
            distance, chosen = state
            plgpu.store(indices_ref.at[cloud, turn], chosen)
            squared = jnp.zeros(number.shape, jnp.float32)
            for axis, plane in enumerate(planes):
                difference = plane - plgpu.load(points_ref.at[cloud, chosen, jnp.int32(axis)])
                squared += difference * difference
            distance = jnp.minimum(distance, squared)
            furthest = distance == jnp.max(distance)
            return distance, jnp.min(jnp.where(furthest, number, n - 1))

        # What is no point is nearer than any.
        start = jnp.where(real, FAR, -1.0).astype(jnp.float32), jnp.int32(first)
        jax.lax.fori_loop(0, samples, step, start)

    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((b, samples), jnp.int32),
        grid=(b,),
        compiler_params=plgpu.CompilerParams(num_warps=WARPS, num_stages=1),
        cost_estimate=pl.CostEstimate(
            flops=b * n * samples * (3 * d + 3),
            transcendentals=0,
            bytes_accessed=points.nbytes + 4 * b * samples,
        ),
        interpret=interpret,
    )(points)
