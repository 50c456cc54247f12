"""One 3x3x3 sparse convolution: kernel against reference over the number of voxels, in one run.

    python benchmarks/sparse_convolution.py [--voxels 30000 100000] [--channels 64] [--repeats 5]

Milliseconds of the map, of forward and of forward + backward; the rate of its products in GFLOP/s,
counted over neighbours that exist; the exponent over voxels. On a GPU also the share of a copy's
bandwidth by the bytes that must move at least.
"""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from voxel_streets import (
    VOXELS,
    both_ways,
    copy_bandwidth,
    exponent,
    implementations,
    milliseconds,
    on_hopper,
    street,
)

from jaxvision.ops.dispatch import platform
from jaxvision.ops.sparse_voxels import sparse_convolution, submanifold_map


def at(voxels: int, settings: argparse.Namespace, bandwidth: float | None) -> dict:
    """Prints one table; returns the times by (implementation, pass)."""
    channels, dtype = settings.channels, jnp.dtype(settings.dtype)
    rng = np.random.default_rng(0)
    weights = jnp.asarray(rng.standard_normal((27, channels, channels), np.float32), dtype)
    features = jnp.asarray(rng.standard_normal((1, voxels, channels), np.float32), dtype)
    sites = street(voxels)
    build = jax.jit(submanifold_map, static_argnums=1)
    neighbours = build(sites, 3)
    pairs = int(jnp.sum(neighbours.inputs < voxels))
    spent = milliseconds(partial(build, size=3), (sites,), settings.repeats)
    print(f"\n{voxels} voxels, {pairs / voxels:.1f} neighbours each; map {spent:.1f} ms")
    times = {}
    names = implementations()
    if on_hopper() and dtype == jnp.bfloat16:
        names += ("mosaic_gpu",)
    for name in names:
        runs = both_ways(partial(sparse_convolution, implementation=name))
        for way, run in zip(("forward", "both"), runs, strict=True):
            spent = milliseconds(run, (features, weights, neighbours), settings.repeats)
            times[name, way] = spent
            products = pairs * channels**2 * (1 if way == "forward" else 3)
            line = f"{name:11} {way:8} {spent:9.2f} ms {2 * products / spent / 1e6:9.1f} GFLOP/s"
            if bandwidth:
                moved = features.nbytes * (2 if way == "forward" else 5)
                line += f" {moved / (spent / 1000) / bandwidth:6.1%} of a copy's bandwidth"
            print(line, flush=True)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voxels", type=int, nargs="+", default=VOXELS)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    settings = parser.parse_args()
    bandwidth = copy_bandwidth(settings.repeats) if platform() == "gpu" else None
    print(f"{jax.devices()[0].device_kind}, {settings.channels} channels, {settings.dtype}")
    tables = [at(voxels, settings, bandwidth) for voxels in settings.voxels]
    times = {key: [table[key] for table in tables] for key in tables[0]}
    print()
    for (name, way), spent in times.items():
        if len(spent) > 1:
            growth = exponent(settings.voxels, spent)
            print(f"{name:11} {way:8} exponent over voxels {growth:.2f}")
    for way in ("forward", "both"):
        for name in implementations()[1:]:
            faster = [a / b for a, b in zip(times["reference", way], times[name, way], strict=True)]
            print(f"{name} {way}: {', '.join(f'{f:.2f}' for f in faster)} times the reference")


if __name__ == "__main__":
    main()
