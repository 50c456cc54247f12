"""LinK's aggregation: cost over range and over voxels, kernel against reference, in one run.

    python benchmarks/voxel_aggregation.py [--voxels 30000 100000] [--channels 64] [--repeats 5]

Milliseconds of forward and of forward + backward at ranges 9, 15, 21, 27 and 33, also in units of
one 3x3x3 sparse convolution of the same width on the same voxels; beside a neighbourhood of
9 x 9 x 9 read voxel by voxel (forward, up to --dense-most voxels); the same algorithm in PyTorch
where it is installed; the exponent over voxels, on a CPU also of the processor time, which leaves
out what the system takes to hand out fresh memory for large arrays. On a GPU also the share of a
copy's bandwidth.
"""

import argparse
from functools import partial
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np
from timing import work_seconds
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
from jaxvision.ops.sparse_voxels import gather_rows, sparse_convolution, submanifold_map
from jaxvision.ops.voxel_aggregation import aggregate, build_block_map

RANGES = (9, 15, 21, 27, 33)
PASSES = ("forward", "both")


def dense_neighbourhood(features, weights, neighbours):
    """A depthwise convolution over every voxel of the neighbourhood, one place at a time."""

    def add(total, step):
        rows, weight = step
        return total + gather_rows(features, rows).astype(jnp.float32) * weight, None

    steps = jnp.moveaxis(neighbours.inputs, 1, 0), weights
    return jax.lax.scan(add, jnp.zeros(features.shape, jnp.float32), steps)[0]


def least_bytes(features, way: str) -> int:
    """Features in and out; the backward reads features and cotangents and writes gradients."""
    return features.nbytes * (2 if way == "forward" else 5)


def at(voxels: int, settings: argparse.Namespace, bandwidth: float | None) -> dict:
    """Prints one table; returns the times by (implementation, range or "3x3x3", pass)."""
    rng = np.random.default_rng(0)
    sites = street(voxels)
    channels, dtype = settings.channels, jnp.dtype(settings.dtype)
    features = jnp.asarray(rng.standard_normal((1, voxels, channels), np.float32), dtype)
    projection = jnp.asarray(0.3 * rng.standard_normal((channels, 3), np.float32))
    weights = jnp.asarray(rng.standard_normal((27, channels, channels), np.float32), dtype)
    neighbours = jax.jit(submanifold_map, static_argnums=1)(sites, 3)
    times = {}
    print(f"\n{voxels} voxels, {channels} channels, {settings.dtype}, form {settings.form}")
    ranges = dict.fromkeys(implementations(), RANGES)
    if on_hopper():
        ranges["mosaic_gpu"] = (21,)  # beside Triton's, whose cost hardly depends on the range
    for name, reaches in ranges.items():
        unit = implementations()[-1] if name == "mosaic_gpu" else name
        convolve = both_ways(partial(sparse_convolution, implementation=unit))
        for way, run in zip(PASSES, convolve, strict=True):
            if (unit, "3x3x3", way) not in times:
                arguments = (features, weights, neighbours)
                spent = milliseconds(run, arguments, settings.repeats)
                times[unit, "3x3x3", way] = spent
                print(f"{unit:11} convolution 3x3x3 {way:8} {spent:9.2f} ms")
        for reach in reaches:
            blocks = jax.jit(build_block_map, static_argnums=(1, 2))(sites, reach // 3, 3)

            def run(features, projection, maps, name=name):
                return aggregate(features, projection, *maps, settings.form, name)

            for way, call in zip(PASSES, both_ways(run), strict=True):
                arguments = (features, projection, (sites, blocks))
                spent = milliseconds(call, arguments, settings.repeats)
                times[name, reach, way] = spent
                line = f"{name:11} aggregation {reach:5} {way:8} {spent:9.2f} ms"
                line += f" {spent / times[unit, '3x3x3', way]:6.2f} convolutions"
                if bandwidth:
                    share = least_bytes(features, way) / (spent / 1000) / bandwidth
                    line += f" {share:6.1%} of a copy's bandwidth"
                print(line, flush=True)
                if reach == 21 and platform() == "cpu":
                    work = work_seconds(call, *arguments, repeats=settings.repeats)
                    times[name, "work", way] = work
    if voxels <= settings.dense_most:
        dense = jax.jit(submanifold_map, static_argnums=1)(sites, 9)
        table = jnp.ones((9**3, channels), jnp.float32)
        spent = milliseconds(jax.jit(dense_neighbourhood), (features, table, dense), 1)
        print(f"every voxel of 9 x 9 x 9  forward  {spent:9.2f} ms", flush=True)
    if find_spec("torch"):
        import voxel_aggregation_torch

        blocks = jax.jit(build_block_map, static_argnums=(1, 2))(sites, 7, 3)
        spent = voxel_aggregation_torch.milliseconds(features, projection, sites, blocks, settings)
        for way, each in zip(PASSES, spent, strict=True):
            ratio = each / times[implementations()[-1], 21, way]
            print(f"PyTorch     aggregation    21 {way:8} {each:9.2f} ms, {ratio:.2f} times ours")
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voxels", type=int, nargs="+", default=VOXELS)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--form", default="cos")
    parser.add_argument("--dense-most", type=int, default=30_000)
    settings = parser.parse_args()
    print(jax.devices()[0].device_kind)
    bandwidth = copy_bandwidth(settings.repeats) if platform() == "gpu" else None
    tables = [at(voxels, settings, bandwidth) for voxels in settings.voxels]
    print()
    for name in implementations():
        for way in PASSES:
            wide = [t[name, 33, way] / t[name, 21, way] for t in tables]
            line = f"{name:11} {way:8} range 33 over 21: {max(wide):.2f} at most"
            if len(tables) > 1:
                spent = [t[name, 21, way] for t in tables]
                line += f"; exponent over voxels at 21: {exponent(settings.voxels, spent):.2f}"
                if (name, "work", way) in tables[0]:
                    work = [t[name, "work", way] for t in tables]
                    line += f", {exponent(settings.voxels, work):.2f} of the processor time"
            print(line)


if __name__ == "__main__":
    main()
