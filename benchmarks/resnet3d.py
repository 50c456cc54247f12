"""Convolutions of clips as `ops/video_convolution.py` writes them, against raw 3D convolutions, and
whole SlowFast networks against PyTorch, on this machine.

    python benchmarks/resnet3d.py                      # convolutions, at SlowFast's sizes
    python benchmarks/resnet3d.py --only stem          # those with this in their name
    python benchmarks/resnet3d.py --network            # SlowFast R50 at 256 x 320; PyTorch if there
    python benchmarks/resnet3d.py --network --side 64  # a small picture

Milliseconds are the least of a few calls, taken in turn; the ratio is what counts.
"""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from timing import alternately

from jaxvision.nn.resnet3d import ResNet3D
from jaxvision.nn.resnet3d_config import NormConfig, strided_network
from jaxvision.ops.video_convolution import video_convolution

# (input [b, t, h, w, c], window, channels out, pixel stride) of SlowFast R50 8x8.
CONVOLUTIONS = {
    "fast stem 5x7x7": ((1, 32, 256, 320, 3), (5, 7, 7), 8, 2),
    "slow stem 1x7x7": ((1, 8, 256, 320, 3), (1, 7, 7), 64, 2),
    "1x3x3, stage 3": ((1, 8, 32, 40, 128), (1, 3, 3), 128, 1),
    "3x1x1, stage 4": ((1, 8, 16, 20, 1024), (3, 1, 1), 256, 1),
    "3x1x1, fast stage 2": ((1, 32, 64, 80, 8), (3, 1, 1), 8, 1),
}


def plain(x, kernel, stride):
    """A raw 3D convolution."""
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (1, stride, stride),
        [(side // 2, side // 2) for side in kernel.shape[:3]],
        dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
    )


def rewritten(x, kernel, stride):
    return video_convolution(x, kernel, (1, stride))


def forward_and_gradient(convolve, x, kernel):
    """Jitted: the value, and the gradients by kernel and, where it is wide, by x."""
    by = (0, 1) if x.shape[-1] > 3 else (1,)  # pixels need no gradient
    return jax.jit(convolve), jax.jit(jax.grad(lambda x, k: jnp.sum(convolve(x, k) ** 2), by))


def convolutions(repeats: int, only: str) -> None:
    rng = np.random.default_rng(0)
    print(f"{'convolution':22}{'raw ms':>10}{'ours ms':>10}{'ratio':>8}  forward, then gradient")
    chosen = {name: case for name, case in CONVOLUTIONS.items() if only in name}
    for name, (shape, window, features, stride) in chosen.items():
        x = jnp.asarray(rng.standard_normal(shape, np.float32))
        kernel = jnp.asarray(rng.standard_normal((*window, shape[-1], features), np.float32) / 10)
        forms = [
            forward_and_gradient(partial(form, stride=stride), x, kernel)
            for form in (plain, rewritten)
        ]
        for pair in zip(*forms, strict=True):
            raw, ours = (
                1e3 * min(taken)
                for taken in alternately([partial(f, x, kernel) for f in pair], repeats)
            )
            print(f"{name:22}{raw:10.1f}{ours:10.1f}{raw / ours:8.1f}", flush=True)


def network(side: int, repeats: int) -> None:
    """SlowFast R50 8x8, forward and training step, one clip."""
    config = strided_network(50, two_pathways=True, norm=NormConfig(frozen=True))
    model, rng = ResNet3D(config), np.random.default_rng(0)
    fast = jnp.asarray(rng.standard_normal((1, 32, side, side * 5 // 4, 3), np.float32))
    slow = fast[:, ::4]
    variables = jax.jit(model.init)(jax.random.key(0), slow, fast)

    # Clips are arguments: as constants, the compiler would pad and fold them beforehand.
    def forward(params, slow, fast):
        maps = model.apply(variables | {"params": params}, slow, fast)
        return sum(jnp.mean(level**2) for level in maps.levels(4))

    params = variables["params"]
    calls = [partial(jax.jit(f), params, slow, fast) for f in (forward, jax.grad(forward))]
    names = ["forward", "gradient"]
    try:
        from resnet3d_torch import slowfast_calls
    except ImportError as missing:
        print(f"PyTorch is not here ({missing})")
        rivals = []
    else:
        rivals = slowfast_calls(np.moveaxis(np.asarray(fast), -1, 1))
    taken = [1e3 * min(t) for t in alternately([*calls, *rivals], repeats)]
    for number, name in enumerate(names):
        line = f"SlowFast R50, {side} x {side * 5 // 4}, {name}: {taken[number]:.0f} ms"
        if rivals:
            rival = taken[2 + number]
            line += f"; PyTorch {rival:.0f} ms, ratio {rival / taken[number]:.2f}"
        print(line, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", action="store_true", help="whole networks")
    parser.add_argument("--side", type=int, default=256, help="of the network's frames, in pixels")
    parser.add_argument("--repeats", type=int, default=3, help="calls of each")
    parser.add_argument("--only", default="", help="of the convolutions' names")
    arguments = parser.parse_args()
    if arguments.network:
        network(arguments.side, arguments.repeats)
    else:
        convolutions(arguments.repeats, arguments.only)
