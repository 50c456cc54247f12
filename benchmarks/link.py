"""LinK's whole networks: segmentation in voxels a second, detection in scans a second.

    python benchmarks/link.py [--voxels 30000] [--width 64] [--repeats 3]
    python benchmarks/link.py --detection [--config link/detection_demo] [--batch 4] [--repeats 5]

Segmentation: random weights; maps are built inside the call, as in training. Inference, and forward
+ backward of the cross entropy. The last column is the time beside the same U-Net without large
kernels. Detection: made-up streets, voxelised by the recipe.
Where PyTorch can be imported, the same network in its operations runs beside ours, both over maps
between voxels that are made beforehand, and their outputs must agree.
"""

import argparse
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import link_detection
import numpy as np
import optax
from flax import linen as nn
from voxel_streets import VOXELS, milliseconds, street

from jaxvision.methods.link.levels import LevelCapacities
from jaxvision.methods.link.segmentation.network import Network, SegmentationNetwork
from jaxvision.methods.link.segmentation.pyramid import build_pyramid
from jaxvision.ops.sparse_voxels import Sites
from jaxvision.ops.voxel_aggregation import Form

try:
    import link_segmentation_torch
    import link_torch
except ImportError:  # PyTorch is not among the project's dependencies.
    link_segmentation_torch = link_torch = None

CLASSES = 20
SHARES = (1.0, 0.75, 0.5, 0.25, 0.125)  # the recipes' capacities of the levels


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
    parser.add_argument("--detection", action="store_true")
    parser.add_argument("--config", default="link/detection_demo")
    parser.add_argument("--batch", type=int, default=4)
    settings = parser.parse_args()
    print(jax.devices()[0].device_kind, end="")
    if settings.detection:
        link_detection.report(settings.config, settings.batch, settings.repeats)
        return
    print(f", width {settings.width}, {settings.dtype}")
    for voxels in settings.voxels:
        print(f"\n{voxels} voxels")
        baseline = None
        for name in settings.networks:
            baseline = segmentation(name, voxels, settings, baseline)


def segmentation(
    name: str,
    voxels: int,
    settings: argparse.Namespace,
    baseline: tuple[float, float] | None,
) -> tuple[float, float]:
    """Times one network, beside the times of the first one, which it returns."""
    known = NETWORKS[name]
    model = SegmentationNetwork(
        network=known.network,
        classes=CLASSES,
        width=settings.width,
        form=known.form,
        groups=known.groups,
        dtype=jnp.dtype(settings.dtype),
    )
    capacities = LevelCapacities(known.edge, known.neighbours, SHARES)
    sites = street(voxels)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((1, voxels, 4), np.float32))
    labels = jnp.asarray(rng.integers(0, CLASSES, (1, voxels)))

    def infer(variables, x, sites):
        return model.apply(variables, x, build_pyramid(sites, capacities))

    def train(variables, x, sites, labels):
        def loss(params):
            logits, _ = model.apply(
                {**variables, "params": params},
                x,
                build_pyramid(sites, capacities),
                train=True,
                mutable=["batch_stats"],
            )
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        return jax.grad(loss)(variables["params"])

    def init(x, sites):
        return model.init(jax.random.key(0), x, build_pyramid(sites, capacities))

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
    if link_torch is not None and settings.dtype == "float32":
        print(
            f"    {beside_torch(model, capacities, variables, (x, sites), settings.repeats)}",
            flush=True,
        )
    return baseline


def beside_torch(
    model: SegmentationNetwork,
    capacities: LevelCapacities,
    variables: Mapping[str, Any],
    scan: tuple[jax.Array, Sites],
    repeats: int,
) -> str:
    """The network alone, over levels that are made beforehand.  scan: its features and voxels."""
    x, sites = scan
    levels = jax.jit(partial(build_pyramid, capacities=capacities))(sites)

    def outputs(variables, x, levels, train):
        found, _ = model.apply(
            variables, x, levels, train, mutable=["batch_stats"] if train else []
        )
        return [found[0]]

    network = link_segmentation_torch.TorchSegmentation(model, levels)
    read = link_torch.tensor(x[0])
    return link_torch.compare(
        outputs, lambda weights: network(weights, read), variables, (x, levels), repeats
    )


if __name__ == "__main__":
    main()
