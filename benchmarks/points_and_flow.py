"""Operations on points and correlations (CamLiFlow): ours, the naive form and PyTorch, in one run.

    python benchmarks/points_and_flow.py [--batch 1] [--repeats 5] [--only lookup]
    python benchmarks/points_and_flow.py --tpu v5e:2x2
    python benchmarks/points_and_flow.py --memory

Prints milliseconds of forward and forward + backward at published sizes, taken in turn, and the
ratios naive / ours and PyTorch / ours. The naive forms make what the operation's definition says
(all distances, all pairs, all neighbours' features); those that would need more than 4 GB are left
out. Where PyTorch can be imported, the same in its operations runs beside it.
`--tpu` runs nothing: it compiles both forms for a chip that need not be here, and prints the memory
their forward and backward passes take beside the inputs and results. `--memory` does so for this
machine.
"""

import argparse
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from one_chip import first_chip, temporaries
from timing import alternately

from jaxvision.ops import correlation_lookup as lookup
from jaxvision.ops.correlation_lookup import argument_specs as lookup_specs
from jaxvision.ops.furthest_point_sampling import argument_specs as sampling_specs
from jaxvision.ops.furthest_point_sampling import furthest_point_sampling
from jaxvision.ops.grouping import group_points
from jaxvision.ops.k_nearest_neighbours import argument_specs as search_specs
from jaxvision.ops.k_nearest_neighbours import k_nearest_neighbours
from jaxvision.ops.local_correlation import local_correlation
from jaxvision.ops.point_convolution import argument_specs as convolution_specs
from jaxvision.ops.point_convolution import depthwise_point_convolution
from jaxvision.ops.point_correlation import argument_specs as correlation_specs
from jaxvision.ops.point_correlation import point_correlation

try:
    import points_and_flow_torch
except ImportError:  # PyTorch is not among the project's dependencies.
    points_and_flow_torch = None

MOST_BYTES = 4e9


class Case(NamedTuple):
    """ours, naive, torch: functions of arrays of `shapes` (torch: of tensors, by name).
    differentiated: so many of the first arrays have a gradient.  naive_bytes: of its largest array.
    options: what follows the arrays."""

    ours: Callable
    naive: Callable
    torch: str
    shapes: tuple[jax.ShapeDtypeStruct, ...]
    differentiated: int
    naive_bytes: float
    options: tuple = ()


def floats(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def searches(batch: int) -> dict[str, Case]:
    def naive(points, queries, k):
        difference = queries[:, :, None] - points[:, None]
        negative, indices = jax.lax.top_k(-jnp.sum(jnp.square(difference), axis=-1), k)
        return indices, -negative

    return {
        f"search {name}": Case(
            k_nearest_neighbours,
            naive,
            "search",
            tuple(floats(*shape) for shape in spec.shapes(batch)),
            0,
            4.0 * batch * spec.points * spec.queries,
            (spec.k,),
        )
        for name, spec in search_specs.SPECS.items()
    }


def samplings(batch: int) -> dict[str, Case]:
    def naive(points, samples):
        def step(state, _):
            distance, chosen = state
            place = jax.vmap(lambda cloud, i: cloud[i])(points, chosen)
            squared = jnp.sum(jnp.square(points - place[:, None]), axis=-1)
            distance = jnp.minimum(distance, squared)
            return (distance, jnp.argmax(distance, axis=1)), chosen

        b, n, _ = points.shape
        start = jnp.full((b, n), 1e10), jnp.zeros(b, jnp.int32)
        return jax.lax.scan(step, start, None, length=samples)[1].T

    return {
        f"sampling {name}": Case(
            furthest_point_sampling,
            naive,
            "sampling",
            (floats(*spec.shape(batch)),),
            0,
            0,
            (spec.samples,),
        )
        for name, spec in sampling_specs.SPECS.items()
    }


def lookups(batch: int) -> dict[str, Case]:
    def form(name):
        def run(first, second, shares, levels, radius):
            size = jnp.array(second.shape[2:0:-1], jnp.float32)
            pyramid = lookup.correlation_pyramid(first, second, levels, name)
            return lookup.correlation_lookup(pyramid, smooth(shares, size), radius)

        return run

    def smooth(shares, size):
        """Each pixel's own place, moved by up to four pixels."""
        height, width = shares.shape[1:3]
        grid = jnp.stack(jnp.meshgrid(jnp.arange(width), jnp.arange(height)), axis=-1)
        return grid + 4 * shares

    return {
        f"lookup {name}": Case(
            form("on_demand"),
            form("volume"),
            "lookup",
            (floats(*spec.shape(batch)),) * 2 + (floats(batch, *spec.size, 2),),
            2,
            4.0 * batch * np.prod(spec.size) ** 2,
            (spec.levels, spec.radius),
        )
        for name, spec in lookup_specs.SPECS.items()
    }


def costs(batch: int) -> dict[str, Case]:
    def naive(first, second, most):
        height, width = first.shape[1:3]
        padded = jnp.pad(second, ((0, 0), (most, most), (most, most), (0, 0)))
        moved = [
            jnp.mean(first * padded[:, y : y + height, x : x + width], axis=-1)
            for y in range(2 * most + 1)
            for x in range(2 * most + 1)
        ]
        return jnp.stack(moved, axis=-1)

    shape = floats(batch, 144, 240, 32)
    return {"local cost camlipwc": Case(local_correlation, naive, "cost", (shape,) * 2, 2, 0, (4,))}


def point_costs(batch: int) -> dict[str, Case]:
    def naive(first, second, xyz1, xyz2, k):
        volume = jnp.einsum("bnc,bmc->bnm", first, second, precision="highest") / first.shape[-1]
        nearest, _ = k_nearest_neighbours(xyz2, xyz1, k)
        offset = group_points(xyz2, nearest) - xyz1[:, :, None]
        return jnp.concatenate(
            [offset, jnp.take_along_axis(volume, nearest, axis=2)[..., None]], axis=-1
        )

    return {
        f"point lookup {name}": Case(
            point_correlation,
            naive,
            "point_cost",
            tuple(floats(*shape) for shape in spec.shapes(batch)),
            2,
            4.0 * batch * spec.points * spec.others,
            (spec.k,),
        )
        for name, spec in correlation_specs.SPECS.items()
    }


def convolutions(batch: int) -> dict[str, Case]:
    def neighbours(points, k):
        return k_nearest_neighbours(points, points, k).indices

    def ours(features, weights, points):
        return depthwise_point_convolution(features, weights, neighbours(points, weights.shape[2]))

    def naive(features, weights, points):
        grouped = group_points(features, neighbours(points, weights.shape[2]))
        return jnp.max(grouped * weights, axis=2)

    def shapes(spec):
        features, weights, _ = (floats(*shape) for shape in spec.shapes(batch))
        return features, weights, floats(batch, spec.points, 3)

    return {
        f"depthwise {name}": Case(ours, naive, "depthwise", shapes(spec), 2, 0)
        for name, spec in convolution_specs.SPECS.items()
    }


MAKERS = (searches, samplings, lookups, costs, point_costs, convolutions)


def chosen(settings: argparse.Namespace) -> dict[str, Case]:
    cases = {n: c for make in MAKERS for n, c in make(settings.batch).items()}
    return {n: c for n, c in cases.items() if n.startswith(settings.only)}


def both_passes(function: Callable, differentiated: int) -> Callable:
    def run(*arguments):
        value, pull = jax.vjp(
            lambda *first: function(*first, *arguments[differentiated:]),
            *arguments[:differentiated],
        )
        return value, pull(value)

    return run


def with_options(function: Callable, case: Case) -> Callable:
    return lambda *arguments: function(*arguments, *case.options)


def measured(settings: argparse.Namespace) -> Iterator[tuple[str, str, dict[str, float]]]:
    """(case, pass, milliseconds of "ours" and of "naive" and "torch" where they can run)."""
    for name, case in chosen(settings).items():
        rng = np.random.default_rng(0)
        arguments = [jnp.asarray(rng.random(s.shape, np.float32)) for s in case.shapes]
        for both in (False, True)[: 1 + (case.differentiated > 0)]:
            forms = {"ours": case.ours, "naive": case.naive}
            if case.naive_bytes > MOST_BYTES:
                forms.pop("naive")
            calls = {}
            for form, function in forms.items():
                run = with_options(function, case)
                run = jax.jit(both_passes(run, case.differentiated) if both else run)
                calls[form] = lambda run=run, arguments=arguments: run(*arguments)
            if points_and_flow_torch:
                calls["torch"] = points_and_flow_torch.call(
                    case.torch,
                    [np.asarray(a) for a in arguments],
                    case.options,
                    case.differentiated if both else 0,
                )
            taken = alternately(list(calls.values()), settings.repeats)
            found = {n: 1e3 * float(np.median(t)) for n, t in zip(calls, taken, strict=True)}
            yield name, "both" if both else "forward", found


def times(settings: argparse.Namespace) -> None:
    kind = jax.devices()[0].device_kind
    print(f"{kind}, batch {settings.batch}, float32, median of {settings.repeats}, ms")
    print("| case | pass | ours | naive | PyTorch | naive / ours | PyTorch / ours |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, way, found in measured(settings):
        ours = found["ours"]
        cells = [f"{found[n]:.1f}" if n in found else "" for n in ("ours", "naive", "torch")]
        cells += [f"{found[n] / ours:.2f}" if n in found else "" for n in ("naive", "torch")]
        print(f"| {name} | {way} | {' | '.join(cells)} |", flush=True)


def memory(settings: argparse.Namespace) -> None:
    chip = first_chip(settings.tpu or "")
    where = settings.tpu or jax.devices()[0].device_kind
    print(f"{where}, batch {settings.batch}, float32, forward and backward where there is")
    print("| case | naive: temporaries, MB | ours: temporaries, MB |")
    print("| --- | --- | --- |")
    for name, case in chosen(settings).items():
        shown = []
        for function in (case.naive, case.ours):
            run = with_options(function, case)
            run = both_passes(run, case.differentiated) if case.differentiated else run
            shown.append(temporaries(run, case.shapes, chip))
        print(f"| {name} | {' | '.join(shown)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="cases whose names begin so")
    parser.add_argument("--tpu", metavar="TOPOLOGY", help="compile for it; run nothing")
    parser.add_argument("--memory", action="store_true", help="compile for here; run nothing")
    settings = parser.parse_args()
    if settings.tpu or settings.memory:
        memory(settings)
    else:
        times(settings)


if __name__ == "__main__":
    main()
