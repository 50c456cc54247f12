"""SparseFormer's pictures a second at 224 x 224, on this machine's device.

    python benchmarks/sparseformer.py [--variant tiny] [--batch 8] [--dtype float32]

Random weights: the time does not depend on them. Prints the inference and the training rate, and
the share of a picture's time by the stem alone.
"""

import argparse
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxvision.methods.sparseformer.model import SparseFormer
from jaxvision.methods.sparseformer.stem import Stem
from jaxvision.methods.sparseformer.variants import VARIANTS, find_variant


def seconds(function: Callable, *arguments, repeats: int) -> float:
    """Median time of a compiled call."""
    jax.block_until_ready(function(*arguments))
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", default="tiny", choices=VARIANTS)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    settings = parser.parse_args()
    architecture = find_variant(settings.variant, settings.dtype)
    model = SparseFormer(architecture)
    images = jnp.zeros((settings.batch, 224, 224, 3))
    variables = nn.unbox(jax.jit(model.init)(jax.random.key(0), images[:1]))
    stem = Stem(architecture.channels, 1e-7, True, architecture.dtype)
    stem_variables = {"params": variables["params"]["stem"]}

    def loss(variables):
        return jnp.sum(model.apply(variables, images))

    whole = seconds(jax.jit(model.apply), variables, images, repeats=settings.repeats)
    first = seconds(jax.jit(stem.apply), stem_variables, images, repeats=settings.repeats)
    both = seconds(jax.jit(jax.grad(loss)), variables, repeats=settings.repeats)
    print(f"{jax.devices()[0].device_kind}, {settings.variant}, batch {settings.batch}")
    print(f"inference {settings.batch / whole:.1f} pictures/s, stem {first / whole:.0%} of it")
    print(f"forward and backward {settings.batch / both:.1f} pictures/s")


if __name__ == "__main__":
    main()
