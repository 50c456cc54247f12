"""PDPP: plans per second, the 1,500-sample evaluation, and what the algebra saves.

    python benchmarks/pdpp.py [--windows 256] [--samples 1500] [--horizon 3] [--repeats 3]

Prints its own table: counted operations here and in the reference, plans per second, and the same
on whole states (class, observations and every output channel at every step) in the same run. Where
torch can be imported, the same network and sampler in PyTorch run beside it.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax.core import meta

from jaxvision.methods.pdpp import flops
from jaxvision.methods.pdpp.diffusion import reverse
from jaxvision.methods.pdpp.model import TemporalUNet
from jaxvision.methods.pdpp.planner import Sampler, sample_actions
from jaxvision.methods.pdpp.state import StateLayout, one_hot, state_of

CROSSTASK = StateLayout(18, 105, 1536)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=256, help="plans at once, one each")
    parser.add_argument("--samples", type=int, default=1500, help="plans of one window")
    parser.add_argument("--horizon", type=int, default=3)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-torch", action="store_true")
    arguments = parser.parse_args()
    model = TemporalUNet(CROSSTASK, arguments.width)
    sampler, horizon = Sampler("ddim", 200), arguments.horizon
    variables = random_variables(model, horizon)
    print(f"device: {jax.devices()[0].device_kind}; CrossTask_How, T={horizon}, 10 DDIM steps")
    for name, windows, samples in (
        ("one plan per window", arguments.windows, 1),
        ("many plans of one window", 1, arguments.samples),
    ):
        print(f"\n{name}: {windows} x {samples}")
        published = windows * flops.published_plans(model, horizon, 10, samples)
        ours = windows * flops.plans(model, horizon, 10, samples)
        whole = windows * samples * 10 * flops.whole_pass(model, horizon)
        print(f"| what | GFLOP counted | seconds (median of {arguments.repeats}) | plans/s |")
        print("| --- | --- | --- | --- |")
        draws = inputs(windows, samples, horizon)
        answers = {}
        for label, count, make in (
            ("action part", ours, action_part),
            ("whole states", whole, whole_states),
        ):
            run = make(model, sampler, samples, horizon)
            answers[label], seconds = timed(
                functools.partial(run, variables, *draws), arguments.repeats
            )
            report(label, count, seconds, windows * samples)
        if not arguments.no_torch:
            torch_row(model, variables, sampler, draws, published, arguments.repeats, answers)
        print(f"operations: {published / ours:.2f} times fewer than the reference's")
        same = np.mean(answers["action part"].argmax(-1) == answers["whole states"].argmax(-1))
        print(f"same actions on whole states: {same:.2%}")


def report(label: str, operations: float, seconds: float, plans: int) -> None:
    print(f"| {label} | {operations / 1e9:.1f} | {seconds:.3f} | {plans / seconds:.1f} |")


def timed(run: Callable[[], jax.Array], repeats: int) -> tuple[np.ndarray, float]:
    """The answer, and the median of `repeats` runs after one that compiles."""
    answer, seconds = np.asarray(run()), []
    for _ in range(repeats):
        started = time.perf_counter()
        jax.block_until_ready(run())
        seconds.append(time.perf_counter() - started)
    return answer, statistics.median(seconds)


def random_variables(model: TemporalUNet, horizon: int) -> dict:
    """Weights of a trained network's size; fresh ones have zero convolutions."""
    x, t = jnp.zeros((1, horizon, model.layout.width)), jnp.zeros((1,), jnp.int32)
    shapes = meta.unbox(jax.eval_shape(model.init, jax.random.key(0), x, t))
    leaves, tree = jax.tree.flatten(shapes)
    draw = np.random.default_rng(0)
    values = [
        draw.normal(size=s.shape).astype(np.float32) / np.sqrt(max(np.prod(s.shape[:-1]), 10))
        for s in leaves
    ]
    return jax.tree.unflatten(tree, [jnp.asarray(v) for v in values])


def inputs(windows: int, samples: int, horizon: int) -> tuple[jax.Array, ...]:
    """task rows, start, goal of each window, and the start noise of each plan."""
    draw = np.random.default_rng(1)
    task = one_hot(jnp.asarray(draw.integers(CROSSTASK.classes, size=windows)), CROSSTASK.classes)
    start, goal = (
        jnp.asarray(draw.random((windows, CROSSTASK.observation)), jnp.float32) for _ in range(2)
    )
    noise = draw.normal(size=(windows * samples, horizon, CROSSTASK.actions))
    return task, start, goal, jnp.asarray(noise, jnp.float32)


def action_part(model: TemporalUNet, sampler: Sampler, samples: int, horizon: int) -> Callable:
    """As the library samples."""

    def run(variables, task, start, goal, noise):
        condition = model.apply(variables, task, start, goal, horizon, method="condition_terms")
        condition = jax.tree.map(lambda x: jnp.repeat(x, samples, axis=0), condition)
        return sample_actions(model, variables, sampler, condition, noise)[0]

    return jax.jit(run)


def whole_states(model: TemporalUNet, sampler: Sampler, samples: int, horizon: int) -> Callable:
    """Every channel of every state through the network, projected after each step."""

    def run(variables, task, start, goal, noise):
        task, start, goal = (jnp.repeat(x, samples, axis=0) for x in (task, start, goal))
        rows = jnp.repeat(task[:, None], horizon, axis=1)
        t, coefficients = sampler.reverse_steps()

        def denoise(x, step):
            times = jnp.full((len(x),), step)
            return model.apply(variables, state_of(x, rows, start, goal), times)[
                ..., model.layout.action_part
            ]

        return reverse(denoise, noise, coefficients, jnp.asarray(t), None)[0]

    return jax.jit(run)


def torch_row(model, variables, sampler, draws, published, repeats, answers) -> None:
    """The same network and sampler in PyTorch, where it can be imported."""
    try:
        import torch
    except ImportError:
        print("| PyTorch | | not installed | |")
        return
    import pdpp_torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    run = pdpp_torch.sampler(model, variables, sampler, draws, device)
    answer, seconds = timed(run, repeats)
    report(f"PyTorch {torch.__version__}, {device}", published, seconds, len(draws[-1]))
    same = np.mean(answer.argmax(-1) == answers["action part"].argmax(-1))
    print(f"\nsame actions in PyTorch: {same:.2%}")


if __name__ == "__main__":
    main()
