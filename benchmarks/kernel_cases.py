"""Every kernel at published shapes, and whether it equals its reference on this device.

Values and gradients, from features in float32 and in bfloat16; the reference computes in float32
with exact products. What a kernel gives must be the same bits in every run.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sparse_sampling import CASES as TOKEN_CASES
from voxel_streets import implementations, on_hopper, street

from jaxvision.ops import correlation_lookup as lookup
from jaxvision.ops.correlation_lookup import argument_specs as lookup_specs
from jaxvision.ops.furthest_point_sampling import argument_specs as cloud_specs
from jaxvision.ops.furthest_point_sampling import furthest_point_sampling
from jaxvision.ops.k_nearest_neighbours import argument_specs as search_specs
from jaxvision.ops.k_nearest_neighbours import k_nearest_neighbours
from jaxvision.ops.point_correlation import argument_specs as correlation_specs
from jaxvision.ops.point_correlation import point_correlation
from jaxvision.ops.sparse_voxels import argument_specs as convolution_specs
from jaxvision.ops.sparse_voxels import sparse_convolution, submanifold_map
from jaxvision.ops.voxel_aggregation import aggregate, build_block_map
from jaxvision.ops.voxel_aggregation import argument_specs as aggregation_specs

REPEATS = 20  # runs whose bits must be the same
# Largest difference over the largest value. float32: sums in another order. bfloat16: results are
# rounded to 8 bits, and inside a kernel sometimes a factor of them, too.
TOLERANCES = {"float32": 2e-5, "bfloat16": 2e-2}
Make = Callable[[str | None], Callable[..., Any]]


class Case(NamedTuple):
    """make(implementation): a function of `arrays` and `constants`.  arrays: float32, with
    gradients where `differentiable`; those named in `features` (by place) come in bfloat16, too.
    kernel: the implementation, where it is not the one that this device takes by itself."""

    name: str
    make: Make
    arrays: tuple[jax.Array, ...]
    features: tuple[int, ...]
    constants: tuple = ()
    differentiable: bool = True
    kernel: str | None = None
    dtypes: tuple[str, ...] = ("float32", "bfloat16")


def kernel_cases(tiny: bool) -> Iterator[Case]:
    """One after another, so that only one's arrays are on the device.  tiny: the first shapes of
    each operation, on few tokens, voxels and points."""
    seen = set()
    of_tokens_and_voxels = token_cases, aggregation_cases, convolution_cases
    of_points = search_cases, lookup_cases, point_lookup_cases
    for family in (*of_tokens_and_voxels, *of_points):
        for case in family(tiny):
            operation = case.name.split()[0]
            if not (tiny and operation in seen):
                yield case
            seen.add(operation)


def token_cases(tiny: bool) -> Iterator[Case]:
    """Sampling, mixing, attention of few narrow heads."""
    for kind, (make_case, specs) in TOKEN_CASES.items():
        for name, spec in specs.items():
            batch = 1 if tiny or "stmixer" in name else 4
            _, shapes, _ = make_case(spec, batch, jnp.float32, None)
            leaves, tree = jax.tree.flatten(shapes)

            def make(implementation, make_case=make_case, spec=spec, batch=batch, tree=tree):
                run, _, _ = make_case(spec, batch, jnp.float32, implementation)
                return lambda *arrays: run(*jax.tree.unflatten(tree, arrays))

            # Points stay float32: a place on a map has more bits than bfloat16 keeps.
            features = len(leaves) - (kind == "sampling")
            yield Case(f"{kind} {name}", make, random(*leaves), tuple(range(features)))


def aggregation_cases(tiny: bool) -> Iterator[Case]:
    sites = street(400 if tiny else 30_000)
    voxels = sites.coords.shape[1]
    for name, spec in aggregation_specs.SPECS.items():
        build = jax.jit(build_block_map, static_argnums=(1, 2))
        blocks = build(sites, spec.edge, spec.neighbours_per_axis)

        def make(implementation, form=spec.form):
            return lambda f, p, *maps: aggregate(f, p, *maps, form, implementation)

        arrays = random(floats(1, voxels, spec.channels), floats(spec.channels, 3))
        case = Case(f"aggregation {name}", make, arrays, (0,), (sites, blocks))
        yield case
        if on_hopper():
            yield case._replace(name=f"{case.name} without Triton", kernel="mosaic_gpu")


def convolution_cases(tiny: bool) -> Iterator[Case]:
    sites = street(400 if tiny else 30_000)
    voxels = sites.coords.shape[1]
    for name, spec in convolution_specs.SPECS.items():
        neighbours = jax.jit(submanifold_map, static_argnums=1)(sites, spec.size)

        def make(implementation):
            return lambda f, w, maps: sparse_convolution(f, w, maps, implementation=implementation)

        arrays = random(floats(1, voxels, spec.inputs), floats(*spec.weights))
        case = Case(f"convolution {name}", make, arrays, (0, 1), (neighbours,))
        yield case
        if on_hopper():
            without_triton = f"convolution {name} without Triton"
            yield case._replace(name=without_triton, kernel="mosaic_gpu", dtypes=("bfloat16",))


def search_cases(tiny: bool) -> Iterator[Case]:
    """Neighbours and furthest points: no gradients, and no bfloat16."""
    for name, spec in search_specs.SPECS.items():
        spec = spec._replace(points=64, queries=32) if tiny else spec

        def search(implementation, k=spec.k):
            return lambda points, queries: k_nearest_neighbours(
                points, queries, k, implementation=implementation
            )

        arrays = random(*(floats(*shape) for shape in spec.shapes(1)))
        yield Case(f"neighbours {name}", search, arrays, (), differentiable=False)
    for name, spec in cloud_specs.SPECS.items():

        def sample(implementation, samples=16 if tiny else spec.samples):
            return lambda points: furthest_point_sampling(
                points, samples, implementation=implementation
            )

        arrays = random(floats(1, 64, 3) if tiny else floats(*spec.shape(1)))
        yield Case(f"furthest points {name}", sample, arrays, (), differentiable=False)


def lookup_cases(tiny: bool) -> Iterator[Case]:
    for name, spec in lookup_specs.SPECS.items():
        spec = spec._replace(size=(16, 16), channels=8) if tiny else spec

        def make(implementation, spec=spec):
            def run(first, second, moves):
                height, width = spec.size
                grid = jnp.stack(jnp.meshgrid(jnp.arange(width), jnp.arange(height)), axis=-1)
                pyramid = lookup.correlation_pyramid(first, second, spec.levels)
                where = grid + 4 * moves
                return lookup.correlation_lookup(
                    pyramid, where, spec.radius, implementation=implementation
                )

            return run

        shape = floats(*spec.shape(1))
        yield Case(f"lookup {name}", make, random(shape, shape, floats(1, *spec.size, 2)), (0, 1))


def point_lookup_cases(tiny: bool) -> Iterator[Case]:
    """The largest and the smallest second cloud, of places whose distances no rounding changes."""
    for name in ("camliraft_2048", "camliraft_256"):
        spec = correlation_specs.SPECS[name]
        spec = spec._replace(points=32, others=64, channels=8) if tiny else spec

        def make(implementation, k=spec.k):
            return lambda *arrays: point_correlation(*arrays, k, implementation=implementation)

        first, second, *places = random(*(floats(*shape) for shape in spec.shapes(1)))
        whole = (jnp.floor(64 * place) for place in places)
        yield Case(f"point lookup {name}", make, (first, second, *whole), (0, 1))


def floats(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def random(*shapes: jax.ShapeDtypeStruct) -> tuple[jax.Array, ...]:
    rng = np.random.default_rng(0)
    return tuple(jnp.asarray(rng.random(shape.shape, np.float32)) for shape in shapes)


class Verdict(NamedTuple):
    """error: the largest of values and gradients, of the largest value of each; of indices the
    share that differ.  same_bits: whether all runs gave the same bits."""

    error: float
    same_bits: bool

    def right(self, dtype: str) -> bool:
        return self.same_bits and self.error <= TOLERANCES[dtype]


class Compiled(NamedTuple):
    """A case in one dtype. ours: this device's kernel, or where there is none (a CPU) the reference
    itself; of `arrays`.  reference: of `exact`, the same values in float32."""

    arrays: tuple[jax.Array, ...]
    exact: tuple[jax.Array, ...]
    constants: tuple
    ours: Callable
    reference: Callable


def compiled(case: Case) -> dict[str, Compiled | Exception]:
    """By dtype, ready to run, or why not; threads may compile several cases at once."""
    kernel = case.kernel or implementations()[-1]
    with jax.default_matmul_precision("highest"):
        reference = passes(case, "reference").lower(case.arrays, case.constants).compile()
    found: dict[str, Compiled | Exception] = {}
    for dtype in case.dtypes if case.features else ("float32",):
        arrays = tuple(
            x.astype(dtype) if place in case.features else x for place, x in enumerate(case.arrays)
        )
        exact = tuple(x.astype(jnp.float32) for x in arrays)
        try:
            ours = reference
            if (kernel, dtype) != ("reference", "float32"):
                ours = passes(case, kernel).lower(arrays, case.constants).compile()
            found[dtype] = Compiled(arrays, exact, case.constants, ours, reference)
        except Exception as error:  # what a compiler raises is a row, too
            found[dtype] = error
    return found


def verdict(both: Compiled, repeats: int = REPEATS) -> Verdict:
    wanted = jax.device_get(both.reference(both.exact, both.constants))
    runs = (jax.device_get(both.ours(both.arrays, both.constants)) for _ in range(repeats))
    got = next(runs)
    pairs = zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True)
    error = max(difference(ours, theirs) for ours, theirs in pairs)
    return Verdict(error, all(same(got, again) for again in runs))


def passes(case: Case, implementation: str) -> Any:
    """(values, gradients by every array), under jit."""
    function = case.make(implementation)

    def run(arrays, constants):
        if not case.differentiable:
            return function(*arrays, *constants), ()
        value, pull = jax.vjp(lambda *arrays: function(*arrays, *constants), *arrays)
        # Not constant, so that no term of a gradient cancels another.
        weight = jnp.cos(jnp.arange(value.size, dtype=jnp.float32)).reshape(value.shape)
        return value, pull(weight.astype(value.dtype))

    return jax.jit(run)


def difference(ours: Any, theirs: Any) -> float:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if np.issubdtype(theirs.dtype, np.integer):
        return float(np.mean(ours != theirs))
    ours, theirs = ours.astype(np.float32), theirs.astype(np.float32)
    error = np.max(np.abs(ours - theirs), initial=0) / max(float(np.abs(theirs).max()), 1e-6)
    return float(error) if np.isfinite(error) else float("inf")


def same(one: Any, other: Any) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(a.tobytes() == b.tobytes() for a, b in pairs)
