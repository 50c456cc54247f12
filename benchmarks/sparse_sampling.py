"""Sampling and mixing: the platform's kernel against the reference under XLA, in one run.

    python benchmarks/sparse_sampling.py [--batch 8] [--repeats 20]

Prints milliseconds of forward and forward + backward at the shapes of published configurations, the
ratio, and bytes that must move at least; where PyTorch is installed, `grid_sample` of the same
pictures beside it. On a CPU only the reference can run.
"""

import argparse
import time
from collections.abc import Callable
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np

from jaxvision.ops import adaptive_mixing as mixing_op
from jaxvision.ops import sparse_sampling as sampling_op
from jaxvision.ops.adaptive_mixing import argument_specs as mixing_specs
from jaxvision.ops.dispatch import platform
from jaxvision.ops.sparse_sampling import argument_specs as sampling_specs

KERNELS = {"gpu": "triton", "tpu": "mosaic_tpu"}


def milliseconds(function: Callable, arguments: tuple, repeats: int) -> float:
    """Median time of a compiled call."""
    jax.block_until_ready(function(*arguments))
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        taken.append(1000 * (time.perf_counter() - start))
    return float(np.median(taken))


def both_ways(function: Callable) -> tuple[Callable, Callable]:
    """(forward, forward and backward), compiled."""

    def backward(*arguments):
        value, pull = jax.vjp(function, *arguments)
        return value, pull(value)

    return jax.jit(function), jax.jit(backward)


def sampling_case(spec, batch: int, dtype, implementation: str):
    rng = np.random.default_rng(0)
    shapes = spec.feature_shapes(batch)
    features = [jnp.asarray(rng.standard_normal(s, np.float32), dtype) for s in shapes]
    axes = 2 if spec.shared_frames or not spec.levels[0][0] else 3
    points = jnp.asarray(rng.random((batch, spec.tokens, spec.points, axes), np.float32))
    frames = "shared" if spec.shared_frames else "trilinear"

    def run(features, points):
        return sampling_op.sparse_sampling(
            features,
            points,
            groups=spec.groups,
            frames=frames,
            padding=spec.padding,
            implementation=implementation,
        )

    frames_read = max(spec.levels[0][0], 1) if spec.shared_frames else 1
    values = batch * spec.tokens * spec.points * frames_read * spec.channels // spec.groups
    moved = sum(f.nbytes for f in features) + values * features[0].dtype.itemsize
    return run, (features, points), moved


def mixing_case(spec, batch: int, dtype, implementation: str):
    rng = np.random.default_rng(0)
    n, p, c, o = batch * spec.tokens, spec.points, spec.channels, spec.outputs
    arrays = tuple(
        jnp.asarray(rng.standard_normal(s, np.float32), dtype)
        for s in ((n, p, c), (n, c, c), (n, o, p))
    )

    def run(x, channel, point):
        return mixing_op.adaptive_mixing(
            x,
            channel,
            point,
            activations=spec.activations,
            norm_epsilon=spec.norm_epsilon,
            implementation=implementation,
        )

    return run, arrays, sum(a.nbytes for a in arrays) + n * o * c * arrays[0].dtype.itemsize


def torch_milliseconds(spec, batch: int, repeats: int) -> float:
    """PyTorch's grid_sample of the same shapes, forward, on the same kind of device."""
    import torch
    from torch.nn.functional import grid_sample

    device = "cuda" if torch.cuda.is_available() else "cpu"
    _, height, width = spec.levels[0]
    features = torch.randn(batch, spec.channels, height, width, device=device)
    grid = 2 * torch.rand(batch, spec.tokens, spec.points, 2, device=device) - 1
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        grid_sample(features, grid, padding_mode=spec.padding, align_corners=False)
        if device == "cuda":
            torch.cuda.synchronize()
        taken.append(1000 * (time.perf_counter() - start))
    return float(np.median(taken))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    settings = parser.parse_args()
    kernel = KERNELS.get(platform())
    print(f"{jax.devices()[0].device_kind}, batch {settings.batch}, {settings.dtype}")
    print(f"{'case':34} {'pass':9} {'reference ms':>13} {'kernel ms':>10} {'ratio':>6} {'MB':>7}")
    cases = [("sampling", sampling_case, n, s) for n, s in sampling_specs.SPECS.items()]
    cases += [("mixing", mixing_case, n, s) for n, s in mixing_specs.SPECS.items()]
    for kind, make, name, spec in cases:
        times = {}
        for implementation in ("reference", kernel):
            if implementation:
                run, arguments, moved = make(
                    spec, settings.batch, jnp.dtype(settings.dtype), implementation
                )
                times[implementation] = [
                    milliseconds(f, arguments, settings.repeats) for f in both_ways(run)
                ]
        for place, direction in enumerate(("forward", "both")):
            slow = times["reference"][place]
            line = f"{kind + ' ' + name:34} {direction:9} {slow:13.2f}"
            if kernel:
                fast = times[kernel][place]
                line += f" {fast:10.2f} {slow / fast:6.2f} {moved / 1e6:7.1f}"
            else:
                line += f" {'-':>10} {'-':>6} {moved / 1e6:7.1f}"
            print(line)
        if kind == "sampling" and not spec.levels[0][0] and find_spec("torch"):
            theirs = torch_milliseconds(spec, settings.batch, settings.repeats)
            print(f"{'  PyTorch grid_sample':34} {'forward':9} {theirs:13.2f}")


if __name__ == "__main__":
    main()
