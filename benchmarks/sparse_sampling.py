"""Sampling, mixing and few-token attention: kernels against the reference under XLA, in one run.

    python benchmarks/sparse_sampling.py [--batch 8] [--repeats 20] [--only mixing]
    python benchmarks/sparse_sampling.py --tpu v5e:2x2

Prints milliseconds of forward and forward + backward at the shapes of published configurations, the
ratio, the bytes that must move at least, and on a GPU the share of the rate of a plain copy at
which the kernel moves them. Where PyTorch can be imported, `grid_sample` and compiled mixing of the
same shapes run beside it. On a CPU only the reference can run.
`--tpu` runs nothing: it compiles both forms for a chip that need not be here, and prints the memory
their forward and backward passes take beside the inputs and results.
"""

import argparse
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from one_chip import first_chip, temporaries
from timing import seconds

from jaxvision.ops.adaptive_mixing import adaptive_mixing
from jaxvision.ops.adaptive_mixing import argument_specs as mixing_specs
from jaxvision.ops.attention import argument_specs as attention_specs
from jaxvision.ops.attention import attention
from jaxvision.ops.dispatch import KERNELS, platform
from jaxvision.ops.sparse_sampling import argument_specs as sampling_specs
from jaxvision.ops.sparse_sampling import sparse_sampling

try:
    import sparse_sampling_torch
except ImportError:  # PyTorch is not among the project's dependencies.
    sparse_sampling_torch = None

Shapes = tuple
Case = tuple[Callable, Shapes, int]


def sampling_case(spec, batch: int, dtype, implementation: str | None) -> Case:
    """(function, shapes of its arguments, bytes that it reads and writes at least)."""
    features = [jax.ShapeDtypeStruct(s, dtype) for s in spec.feature_shapes(batch)]
    axes = 2 if spec.shared_frames or not spec.levels[0][0] else 3
    points = jax.ShapeDtypeStruct((batch, spec.tokens, spec.points, axes), jnp.float32)
    frames = "shared" if spec.shared_frames else "trilinear"

    def run(features, points):
        return sparse_sampling(
            features,
            points,
            groups=spec.groups,
            frames=frames,
            padding=spec.padding,
            implementation=implementation,
        )

    frames_read = max(spec.levels[0][0], 1) if spec.shared_frames else 1
    values = batch * spec.tokens * spec.points * frames_read * spec.channels // spec.groups
    moved = sum(f.size for f in features) + values
    return run, (features, points), moved * jnp.dtype(dtype).itemsize


def mixing_case(spec, batch: int, dtype, implementation: str | None) -> Case:
    n, p, c, o = batch * spec.tokens, spec.points, spec.channels, spec.outputs
    shapes = tuple(jax.ShapeDtypeStruct(s, dtype) for s in ((n, p, c), (n, c, c), (n, o, p)))

    def run(x, channel, point):
        return adaptive_mixing(
            x,
            channel,
            point,
            activations=spec.activations,
            norm_epsilon=spec.norm_epsilon,
            implementation=implementation,
        )

    return run, shapes, (sum(s.size for s in shapes) + n * o * c) * jnp.dtype(dtype).itemsize


def attention_case(spec, batch: int, dtype, implementation: str | None) -> Case:
    shape = jax.ShapeDtypeStruct((batch, *spec), dtype)

    def run(query, key, value):
        return attention(query, key, value, implementation=implementation)

    return run, (shape,) * 3, 4 * shape.size * shape.dtype.itemsize


CASES = {
    "sampling": (sampling_case, sampling_specs.SPECS),
    "mixing": (mixing_case, mixing_specs.SPECS),
    "attention": (attention_case, attention_specs.NARROW),
}


def both_passes(function: Callable) -> Callable:
    def run(*arguments):
        value, pull = jax.vjp(function, *arguments)
        return value, pull(value)

    return run


def milliseconds(function: Callable, shapes: Shapes, repeats: int) -> float:
    """Median time of a compiled call on random arguments: points lie in [0, 1)."""
    rng = np.random.default_rng(0)
    arguments = jax.tree.map(
        lambda s: jnp.asarray(rng.random(s.shape, np.float32), s.dtype), shapes
    )
    return 1000 * float(np.median(seconds(jax.jit(function), *arguments, repeats=repeats)))


def copy_rate(repeats: int) -> float:
    """Bytes a second that a plain copy of 1 GiB reads and writes."""
    shape = jax.ShapeDtypeStruct((2**28,), jnp.float32)
    return 2 * 2**30 / milliseconds(lambda x: x + 1, (shape,), repeats) * 1e3


def torch_milliseconds(kind: str, spec, batch: int, dtype: str, repeats: int):
    """(forward, forward and backward), or None where PyTorch has no such operation."""
    if kind == "attention" or (kind == "sampling" and (spec.levels[0][0] or len(spec.levels) > 1)):
        return None
    make = getattr(sparse_sampling_torch, kind)
    return sparse_sampling_torch.milliseconds(*make(spec, batch, dtype), repeats)


class Measured(NamedTuple):
    """Milliseconds of one case and way. kernel, copy_share, torch: None where there is none."""

    case: str
    way: str
    reference: float
    kernel: float | None
    megabytes: float
    copy_share: float | None
    torch: float | None


def measured(settings: argparse.Namespace) -> Iterator[Measured]:
    """Every case that is asked for, forward and both ways."""
    kernel = KERNELS.get(platform())
    rate = copy_rate(settings.repeats) if platform() == "gpu" else None
    for kind, (make, specs) in CASES.items():
        for name, spec in specs.items() if settings.only in ("", kind) else ():
            theirs = None
            if sparse_sampling_torch:
                theirs = torch_milliseconds(
                    kind, spec, settings.batch, settings.dtype, settings.repeats
                )
            for place, way in enumerate(("forward", "both")):
                taken = {}
                for implementation in filter(None, ("reference", kernel)):
                    run, shapes, moved = make(
                        spec, settings.batch, jnp.dtype(settings.dtype), implementation
                    )
                    run = both_passes(run) if place else run
                    taken[implementation] = milliseconds(run, shapes, settings.repeats)
                ours = taken[kernel or "reference"]
                yield Measured(
                    f"{kind} {name}",
                    way,
                    taken["reference"],
                    taken[kernel] if kernel else None,
                    moved / 1e6,
                    moved / ours * 1e3 / rate if rate and not place else None,
                    theirs[place] if theirs else None,
                )


def times(settings: argparse.Namespace) -> None:
    print(f"{jax.devices()[0].device_kind}, batch {settings.batch}, {settings.dtype}")
    print("| case | pass | reference ms | kernel | MB | of copy rate | PyTorch ms | / ours |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in measured(settings):
        ours = row.kernel or row.reference
        cells = [
            f"{row.reference:.2f}",
            f"{ours:.2f} ({row.reference / ours:.2f}x)" if row.kernel else "none here",
            f"{row.megabytes:.1f}",
            f"{row.copy_share:.0%}" if row.copy_share else "",
            f"{row.torch:.2f}" if row.torch else "",
            f"{row.torch / ours:.2f}" if row.torch else "",
        ]
        print(f"| {row.case} | {row.way} | {' | '.join(cells)} |", flush=True)


def memory(settings: argparse.Namespace) -> None:
    chip = first_chip(settings.tpu)
    print(f"{settings.tpu}, batch {settings.batch}, {settings.dtype}, forward and backward")
    print("| case | MB counted | reference: temporaries, MB | kernel: temporaries, MB |")
    print("| --- | --- | --- | --- |")
    for kind, (make, specs) in CASES.items():
        for name, spec in specs.items() if settings.only in ("", kind) else ():
            shown = []
            for implementation in ("reference", None):
                run, shapes, moved = make(
                    spec, settings.batch, jnp.dtype(settings.dtype), implementation
                )
                shown.append(temporaries(both_passes(run), shapes, chip))
            print(f"| {kind} {name} | {moved / 1e6:.1f} | {' | '.join(shown)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--only", default="", choices=("", *CASES))
    parser.add_argument("--tpu", metavar="TOPOLOGY", help="compile for it; run nothing")
    settings = parser.parse_args()
    if settings.tpu:
        memory(settings)
    else:
        times(settings)


if __name__ == "__main__":
    main()
