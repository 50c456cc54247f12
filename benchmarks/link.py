"""LinK's whole segmentation networks in voxels a second, beside their baseline, in one run.

    python benchmarks/link.py [--voxels 30000] [--width 64] [--repeats 3]

Random weights; maps are built inside the call, as in training. Inference, and forward + backward
of the cross entropy. The last column is the time beside the same U-Net without large kernels.
"""

import argparse
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from voxel_streets import VOXELS, milliseconds, street

from jaxvision.methods.link.model import Network, SegmentationNetwork
from jaxvision.methods.link.pyramid import PyramidShape, build_pyramid
from jaxvision.ops.voxel_aggregation import Form

CLASSES = 20


class Published(NamedTuple):
    network: Network
    form: Form = "cos"
    groups: int = 1
    edge: int | None = None
    neighbours: int = 3


NETWORKS = {
    "minkunet": Published("minkunet"),
    "linkunet cos_x 2x3": Published("linkunet", "cos_x", 1, 3, 2),
    "linkunet cos 3x7": Published("linkunet", "cos", 2, 7, 3),
    "linkencoder cos_x 2x3": Published("linkencoder", "cos_x", 1, 3, 2),
    "linkencoder cos 3x5": Published("linkencoder", "cos", 2, 5, 3),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voxels", type=int, nargs="+", default=VOXELS)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    settings = parser.parse_args()
    print(f"{jax.devices()[0].device_kind}, width {settings.width}, {settings.dtype}")
    for voxels in settings.voxels:
        sites = street(voxels)
        rng = np.random.default_rng(0)
        x = jnp.asarray(rng.standard_normal((1, voxels, 4), np.float32))
        labels = jnp.asarray(rng.integers(0, CLASSES, (1, voxels)))
        print(f"\n{voxels} voxels")
        baseline = None
        for name in settings.networks:
            known = NETWORKS[name]
            model = SegmentationNetwork(
                known.network,
                CLASSES,
                settings.width,
                known.form,
                known.groups,
                dtype=jnp.dtype(settings.dtype),
            )
            shape = PyramidShape(known.edge, known.neighbours)

            def infer(variables, x, sites, model=model, shape=shape):
                return model.apply(variables, x, build_pyramid(sites, shape))

            def train(variables, x, sites, labels, model=model, shape=shape):
                def loss(params):
                    logits, _ = model.apply(
                        {**variables, "params": params},
                        x,
                        build_pyramid(sites, shape),
                        train=True,
                        mutable=["batch_stats"],
                    )
                    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

                return jax.grad(loss)(variables["params"])

            def init(x, sites, model=model, shape=shape):
                return model.init(jax.random.key(0), x, build_pyramid(sites, shape))

            variables = nn.unbox(jax.jit(init)(x, sites))
            forward = milliseconds(jax.jit(infer), (variables, x, sites), settings.repeats)
            both = milliseconds(jax.jit(train), (variables, x, sites, labels), settings.repeats)
            baseline = baseline or (forward, both)
            print(
                f"{name:22} inference {voxels / forward:8.1f}k voxels/s"
                f"   training {voxels / both:8.1f}k voxels/s"
                f"   time beside {settings.networks[0]}: {forward / baseline[0]:.2f},"
                f" {both / baseline[1]:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
