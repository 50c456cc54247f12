"""SparseFormer's pictures a second at 224 x 224, on this machine's device.

    python benchmarks/sparseformer.py [--variant tiny] [--batch 8] [--dtype float32]

Random weights: the time does not depend on them. Prints the inference rate, that of forward and
backward together, the share of a picture's time by the stem alone, and both rates of two dense
networks in the same run: ViT-S/16 and ResNet-50.
"""

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from memory_held import compiled
from sparseformer_rivals import ResNet50, VisionTransformer
from timing import seconds
from untrained import untrained

from jaxvision.methods.sparseformer.model import SparseFormer, Stem
from jaxvision.methods.sparseformer.variants import VARIANTS, find_variant


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", default="tiny", choices=VARIANTS)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--units", type=int, help="of ours, the first ones alone")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    settings = parser.parse_args()
    print(f"{jax.devices()[0].device_kind}, batch {settings.batch}, {settings.dtype}, pictures/s")
    print("| network | inference | of ours | forward and backward | of ours |")
    print("| --- | --- | --- | --- | --- |")
    first = None
    for name, rates, _ in pictures_a_second(settings):
        first = rates if first is None else first
        cells = " | ".join(f"{r:.1f} | {r / f:.2f}" for r, f in zip(rates, first, strict=True))
        print(f"| {name} | {cells} |", flush=True)
    assert first is not None
    print(f"the stem is {stem_seconds(settings) * first[0] / settings.batch:.0%} of inference")


def pictures_a_second(settings: argparse.Namespace) -> Iterator[tuple[str, np.ndarray, Any]]:
    """(network, rates of inference and of forward and backward, the compiled latter), ours first.

    settings.units: of our network, the first ones alone.
    """
    architecture = find_variant(settings.variant, settings.dtype)
    units = architecture.units[: settings.units]
    architecture = dataclasses.replace(architecture, units=units)
    images = jnp.zeros((settings.batch, 224, 224, 3))
    networks = {
        f"SparseFormer {settings.variant}": SparseFormer(architecture),
        "ViT-S/16": VisionTransformer(architecture.dtype),
        "ResNet-50": ResNet50(architecture.dtype),
    }
    for name, model in networks.items():
        variables = untrained(model.init, jax.random.key(0), images[:1])
        runs = [compiled(f, variables, images) for f in (model.apply, jax.grad(total(model)))]
        taken = [np.median(seconds(r, variables, images, repeats=settings.repeats)) for r in runs]
        yield name, settings.batch / np.array(taken), runs[1]


def stem_seconds(settings: argparse.Namespace) -> float:
    """Of our stem alone."""
    architecture = find_variant(settings.variant, settings.dtype)
    images = jnp.zeros((settings.batch, 224, 224, 3))
    stem = Stem(architecture.channels, 1e-7, True, architecture.dtype)
    variables = nn.unbox(jax.jit(stem.init)(jax.random.key(0), images[:1]))
    taken = seconds(jax.jit(stem.apply), variables, images, repeats=settings.repeats)
    return float(np.median(taken))


def total(model: nn.Module) -> Callable:
    return lambda variables, images: jnp.sum(model.apply(variables, images))


if __name__ == "__main__":
    main()
