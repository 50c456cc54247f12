"""Surfaces of a street as voxels, and how calls on them are timed: shared by the benchmarks."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from timing import seconds

from jaxvision.ops import hopper
from jaxvision.ops.dispatch import KERNELS, platform
from jaxvision.ops.sparse_voxels import Sites, unique_sites

VOXELS = (30_000, 100_000, 300_000, 1_000_000)
# Of a voxel of the ground; with it a block of 7 voxels holds about as many as in a 64-beam scan.
OCCUPANCY = 0.3


def implementations() -> tuple[str, ...]:
    """The reference, and the kernel of this machine's device where there is one."""
    kernel = KERNELS.get(platform())
    return ("reference", kernel) if kernel else ("reference",)


def on_hopper() -> bool:
    """Whether this machine runs the kernels that need no Triton."""
    return platform() == "gpu" and hopper.refusal(jax.devices()[0].device_kind) is None


def street(voxels: int) -> Sites:
    """One shard with exactly so many voxels: uneven ground with walls, as wide as it must be.

    The density does not depend on the number, so that times over it show how the cost grows.
    """
    rng = np.random.default_rng(voxels)
    extent = int(np.sqrt(voxels / OCCUPANCY)) + 2
    x, y = np.meshgrid(np.arange(extent), np.arange(extent), indexing="ij")
    ground = np.round(3 * np.sin(x / 40) + 3 * np.cos(y / 55)).astype(np.int64)
    wall = ((x % 160 < 2) & (y % 96 > 30)).astype(np.int64)
    height = np.where(wall, rng.integers(0, 40, x.shape), 0)
    coords = np.stack([np.zeros_like(x), x, y, ground + height], axis=-1).reshape(-1, 4)
    coords = coords - np.array([0, extent // 2, extent // 2, 0])
    chosen = rng.permutation(len(coords))[:voxels]
    sites, _, _ = jax.jit(unique_sites, static_argnums=2)(
        jnp.asarray(coords[chosen][None], jnp.int32), jnp.ones((1, voxels), bool), voxels
    )
    return jax.block_until_ready(sites)


def milliseconds(function: Callable, arguments: tuple, repeats: int) -> float:
    """Least time of a compiled call: the one that other programs disturbed least."""
    return 1000 * min(seconds(function, *arguments, repeats=repeats))


def both_ways(function: Callable) -> tuple[Callable, Callable]:
    """(forward, forward and backward) of function(features, weights, maps), compiled."""

    def backward(features, weights, maps):
        value, pull = jax.vjp(lambda f, w: function(f, w, maps), features, weights)
        return value, *pull(value)

    return jax.jit(function), jax.jit(backward)


def exponent(voxels: Sequence[int], times: Sequence[float]) -> float:
    """b of the least-squares fit time = a voxels^b."""
    return float(np.polyfit(np.log(voxels), np.log(times), 1)[0])


def copy_bandwidth(repeats: int) -> float:
    """Bytes a second that a copy of 256 MB reads and writes."""
    array = jnp.zeros((64 << 20,), jnp.float32)
    spent = milliseconds(jax.jit(lambda x: x + 1), (array,), repeats)
    return 2 * array.nbytes / (spent / 1000)
