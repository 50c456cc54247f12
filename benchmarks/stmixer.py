"""STMixer's sampling at published shapes: by linearity against one sample a frame, in one run.

    python benchmarks/stmixer.py [--batch 1] [--repeats 5] [--only levels|whole|head]

`whole`: both means of the four levels at 256 x 320 in eight frames, forward and with gradients.
`levels`: the mean over points of each level in every form, which
`jaxvision/ops/sparse_sampling/means_over_points.py` chooses from by platform and map size.
`--tpu v5e:2x2 --batch 32`: temporaries of both means both ways on one chip; nothing runs.
`head`: the published head at 256 x 320, forward and with gradients, beside PyTorch if it is there.
Calls alternate; the least of each is printed.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
from one_chip import first_chip, temporaries
from timing import alternately

from jaxvision.methods.stmixer.decoder import Decoder, DecoderConfig
from jaxvision.ops.dispatch import platform
from jaxvision.ops.sparse_sampling import sampled_means
from jaxvision.ops.sparse_sampling.means_over_points import Form, mean_over_points

SIZES = ((64, 80), (32, 40), (16, 20), (8, 10))
FRAMES, CHANNELS, QUERIES, GROUPS, POINTS = 8, 256, 100, 4, 32


def means(form: str | None) -> Callable:
    """Both means; None is what is taken here."""
    return partial(sampled_means, groups=GROUPS, form=form)


def with_gradients(function: Callable) -> Callable:
    def run(levels, points, weights, cotangents):
        value, pull = jax.vjp(function, levels, points, weights)
        return value, pull(cotangents)

    return jax.jit(run)


def inputs(batch: int, sizes=SIZES):
    rng = np.random.default_rng(0)

    def normal(*shape):
        return jnp.asarray(rng.standard_normal(shape), jnp.float32)

    levels = [normal(batch, FRAMES, h, w, CHANNELS) for h, w in sizes]
    count = GROUPS * POINTS
    points = jnp.asarray(rng.uniform(0, 1, (batch, QUERIES, count, 2)), jnp.float32)
    weights = jax.nn.softmax(normal(batch, QUERIES, count, len(sizes)))
    width = CHANNELS // GROUPS
    over_frames = normal(batch, QUERIES, count, width)
    return levels, points, weights, (over_frames, normal(batch, QUERIES, GROUPS, FRAMES, width))


def whole(batch: int, repeats: int) -> None:
    *arguments, cotangents = inputs(batch)
    forms = [means(form) for form in ("frames", None)]
    forward, both = [jax.jit(form) for form in forms], [with_gradients(form) for form in forms]
    answers = [f(*arguments) for f in [*forward, jax.jit(means("linear"))]]
    apart = max(
        float(jnp.linalg.norm(a - b) / jnp.linalg.norm(a))
        for a, b in zip(answers[0], answers[2], strict=True)
    )
    print(f"relative difference of the linear form {apart:.1e}")
    for name, calls, more in (("forward", forward, ()), ("both ways", both, (cotangents,))):
        taken = alternately([partial(f, *arguments, *more) for f in calls], repeats)
        old, new = (1e3 * min(times) for times in taken)
        memory = [
            f.lower(*arguments, *more).compile().memory_analysis().temp_size_in_bytes / 2**20
            for f in calls
        ]
        print(
            f"{name}: a sample a frame {old:.0f} ms, {memory[0]:.0f} MiB; as chosen here {new:.0f} "
            f"ms, {memory[1]:.0f} MiB: {old / new:.2f} times"
        )


def memory(topology: str, batch: int) -> None:
    """What the TPU's compiler takes for the means both ways, beside arguments and results."""

    def run(levels, points, weights):
        value, pull = jax.vjp(means(None), levels, points, weights)
        return value, pull(value)

    chip = first_chip(topology)

    def shape(x, dtype=jnp.float32):
        return jax.ShapeDtypeStruct((batch, *x.shape[1:]), dtype)

    features, *where, _ = inputs(1)
    points, weights = map(shape, where)
    for dtype in (jnp.float32, jnp.bfloat16):
        levels = [shape(level, dtype) for level in features]
        taken = temporaries(run, (levels, points, weights), chip)
        print(f"{topology}, {batch} clips, {dtype.__name__}: temporaries {taken} MB", flush=True)


def levels(batch: int, repeats: int) -> None:
    forms = get_args(Form)
    print(f"{'map':>10} {'pass':>9}" + "".join(f"{form:>11}" for form in forms))
    rng = np.random.default_rng(0)
    for height, columns in SIZES:
        tokens = (batch, GROUPS, QUERIES)
        shapes = (
            (batch, FRAMES, height * columns, CHANNELS),
            (*tokens, POINTS),
            (*tokens, FRAMES, CHANNELS // GROUPS),
        )
        clip, weights, cotangent = (
            jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes
        )
        limits = (columns - 1, height - 1)
        where = jnp.asarray(rng.uniform(0, limits, (*tokens, POINTS, 2)), jnp.float32)
        means = [partial(mean_over_points, sizes=(columns, height), form=form) for form in forms]
        calls = {
            "forward": ([jax.jit(form) for form in means], ()),
            "both": ([with_gradients(form) for form in means], (cotangent,)),
        }
        for name, (functions, more) in calls.items():
            bound = [partial(f, clip, where, weights, *more) for f in functions]
            taken = alternately(bound, repeats)
            shown = "".join(f"{1e3 * min(times):>9.1f}ms" for times in taken)
            print(f"{height:>4} x {columns:>3} {name:>9}{shown}", flush=True)


def head(batch: int, repeats: int) -> None:
    """All six stages: the answers' mean squares, and their gradients by parameters and levels."""
    features, size = inputs(batch)[0], (SIZES[0][1] * 4, SIZES[0][0] * 4)
    model, sizes = (
        Decoder(DecoderConfig()),
        jnp.tile(jnp.array([size * 2], jnp.float32), (batch, 1)),
    )
    params = jax.jit(model.init)(jax.random.key(0), tuple(features), sizes)

    def total(params, levels):
        answers, _ = model.apply(params, levels, sizes)
        # A mean square of each stage.
        return sum(len(each) * jnp.mean(jnp.square(each)) for each in answers)

    functions = (jax.jit(total), jax.jit(jax.grad(total, (0, 1))))
    calls = [partial(f, params, tuple(features)) for f in functions]
    try:
        from stmixer_torch import head_calls
    except ImportError as missing:
        print(f"PyTorch is not here ({missing})")
        rivals = []
    else:
        rivals = head_calls([np.asarray(level) for level in features], size, QUERIES)
    taken = [1e3 * min(times) for times in alternately([*calls, *rivals], repeats)]
    for number, name in enumerate(("forward", "both ways")):
        line = f"head, {name}: {taken[number]:.0f} ms"
        if rivals:
            rival = taken[2 + number]
            line += f"; PyTorch {rival:.0f} ms, ratio {rival / taken[number]:.2f}"
        print(line, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=("whole", "levels", "head"))
    parser.add_argument("--tpu", help="a machine such as v5e:2x2: its memory alone")
    options = parser.parse_args()
    if options.tpu:
        memory(options.tpu, options.batch)
        raise SystemExit
    print(f"{platform()}, batch {options.batch}")
    for part in (whole, levels, head):
        if options.only in (None, part.__name__):
            part(options.batch, options.repeats)
