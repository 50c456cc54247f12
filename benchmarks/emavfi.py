"""EMA-VFI: time per frame at video sizes, and throughput of a video with decoding and encoding.

    python benchmarks/emavfi.py --variant small --sizes 256x448 720x1280 1080x1920
    python benchmarks/emavfi.py --variant base --dtype bfloat16 --down-scale 0.25 \
        --sizes 2160x4096 --memory-on v5e:2x2 [--tile 512]

Random weights: time does not depend on them. Prints tables in Markdown; each time is the best of
`--repeats` after the first call, which is timed by itself as "first call". `--memory-on` runs
nothing: it compiles for one chip of a TPU that need not be here and prints what it must hold. Where
torch can be imported, the same network runs in PyTorch in turn with ours.
"""

import argparse
import dataclasses
import functools
import statistics
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.core import meta
from memory_held import compiled
from one_chip import first_chip, placed
from skimage import data
from untrained import untrained

from jaxvision.data.frame_stream import VideoStream
from jaxvision.methods.emavfi.flops import forward_flops
from jaxvision.methods.emavfi.inference import (
    InferenceSettings,
    Interpolator,
    encode_pair,
    frame_at,
    interpolate,
    padder_for,
)
from jaxvision.methods.emavfi.model import InterpolationNetwork
from jaxvision.methods.emavfi.prediction import VideoJob, retime_video
from jaxvision.methods.emavfi.retiming import Retimer, Retiming
from jaxvision.methods.emavfi.variants import VARIANTS
from jaxvision.methods.emavfi.weights import entries
from jaxvision.viz.video_stream import write_segment
from jaxvision.weights import to_state_dict

try:
    import emavfi_torch
except ImportError:  # PyTorch is not among the project's dependencies.
    emavfi_torch = None


def seconds(function, *arguments, repeats: int) -> tuple[float, float]:
    """(first call, fastest of the rest)."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - start)
    return times[0], min(times[1:])


def time_per_frame(model, variables, sizes, down_scale: float, repeats: int) -> None:
    print("| size | first call, s | s per frame | GFLOP/s | PyTorch / ours |")
    print("| --- | --- | --- | --- | --- |")
    for height, width in sizes:
        first, best, ratio, _ = frame_seconds(
            model, variables, (height, width), down_scale, repeats
        )
        # Counted without down-scaling.
        rate = forward_flops(model.config, height, width) / best / 1e9
        shown = f"{rate:.0f}" if down_scale == 1 else ""
        beside = "not measured" if down_scale == 1 else ""
        beside = beside if ratio is None else f"{ratio:.2f}"
        print(f"| {height}x{width} | {first:.1f} | {best:.3f} | {shown} | {beside} |", flush=True)


class FrameSeconds(NamedTuple):
    """first: the first call, compilation included.  ratio: PyTorch's time over ours, where it can
    run."""

    first: float
    best: float
    ratio: float | None
    program: Any  # compiled


def frame_seconds(
    model, variables, size: tuple[int, int], down_scale: float, repeats: int
) -> FrameSeconds:
    """Of a middle frame."""
    settings = InferenceSettings(down_scale)
    pair = jnp.asarray(np.random.default_rng(0).random((1, 2, *size, 3)), jnp.float32)
    start = time.perf_counter()
    run = compiled(
        lambda v, pair: interpolate(model, v, pair, (0.5,), settings)[0], variables, pair
    )
    compiling = time.perf_counter() - start
    first, best = seconds(run, variables, pair, repeats=repeats)
    ratio = None
    if emavfi_torch and down_scale == 1:
        ratio = versus_torch(model, variables, pair, run, repeats)
    return FrameSeconds(compiling + first, best, ratio, run)


def random_network(variant: str, dtype: str, **other: Any) -> tuple[InterpolationNetwork, Any]:
    """A published network, or one that differs in some fields, and random weights."""
    network = VARIANTS[variant].network
    model = InterpolationNetwork(dataclasses.replace(network, dtype=jnp.dtype(dtype), **other))
    example = jnp.zeros((1, 2, 64, 64, 3))
    return model, untrained(model.init, jax.random.key(0), example, 0.5)


def versus_torch(model, variables, pair, run, repeats: int) -> float:
    """Seconds of the same network in PyTorch over ours, taking turns. Stops if the frames differ by
    more than a step of 8 bits."""
    weights = to_state_dict(variables, entries(model.config))
    half = model.config.dtype == jnp.bfloat16
    settings = InferenceSettings()
    padder = padder_for(pair.shape[2], pair.shape[3], settings)
    theirs = emavfi_torch.middle_frame(model.config, weights, np.array(padder.pad(pair)), half)
    error = float(jnp.abs(run(variables, pair) - padder.unpad(theirs())).max())
    if not half and error > 1 / 255:
        raise SystemExit(f"PyTorch's frame differs from ours by {error:.2g}")
    ratios = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(run(variables, pair))
        middle = time.perf_counter()
        theirs()
        ratios.append((time.perf_counter() - middle) / (middle - start))
    return statistics.median(ratios)


def memory(model, sizes, down_scale: float, tile: int, topology: str) -> None:
    """GiB on one chip, of the parts of interpolation as `predict` compiles them, and of all of it
    as one program (without tiles)."""
    chip = first_chip(topology)

    settings = InferenceSettings(down_scale, tile=tile)

    def encode(variables, pair):
        return encode_pair(model, variables, pair, settings)

    def whole(variables, pair):
        return interpolate(model, variables, pair, (0.5,), InferenceSettings(down_scale))[0]

    example = jnp.zeros((1, 2, 64, 64, 3))
    shapes = meta.unbox(jax.eval_shape(model.init, jax.random.key(0), example, 0.5))
    variables = placed(shapes, chip)
    print("| size | part | arguments | temporaries | outputs | peak, GiB |")
    print("| --- | --- | --- | --- | --- | --- |")
    with jax.set_mesh(chip.mesh):
        for height, width in sizes:
            pair = placed(jax.ShapeDtypeStruct((1, 2, height, width, 3), jnp.float32), chip)
            encoded = placed(jax.eval_shape(encode, variables, pair), chip)
            t = placed(jax.ShapeDtypeStruct((), jnp.float32), chip)
            frame = functools.partial(frame_at, model, size=(height, width), settings=settings)
            for part, function, arguments in (
                ("features", encode, (variables, pair)),
                ("frame", frame, (variables, encoded, t)),
                ("one program", whole, (variables, pair)),
            ):
                found = jax.jit(function).lower(*arguments).compile().memory_analysis()
                sizes_of = (
                    found.argument_size_in_bytes,
                    found.temp_size_in_bytes,
                    found.output_size_in_bytes,
                )
                shown = " | ".join(f"{x / 2**30:.2f}" for x in (*sizes_of, sum(sizes_of)))
                print(f"| {height}x{width} | {part} | {shown} |", flush=True)


def streaming(model, variables, size, frames: int) -> None:
    """A panned photograph as a video, doubled: all of decode, interpolate, encode, join."""
    height, width = size
    picture = np.pad(data.astronaut(), ((0, 1024), (0, 2048), (0, 0)), "reflect")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "pan.mp4"
        clip = [(Fraction(i, 24), picture[:height, 4 * i : 4 * i + width]) for i in range(frames)]
        write_segment(source, clip, Fraction(24))
        interpolator = Interpolator(model, variables, InferenceSettings(), any_time=True)
        half = [Fraction(1, 2)]
        interpolator.between(clip[0][1], clip[1][1], half)  # compiles
        start = time.perf_counter()
        retimer = Retimer(interpolator, Retiming(2), 0.5)
        retime_video(retimer, VideoJob(VideoStream(source), source.stem, {}, 64), Path(folder))
        wall = time.perf_counter() - start
        start = time.perf_counter()
        for _ in range(3):
            interpolator.between(clip[0][1], clip[1][1], half)
        network = (time.perf_counter() - start) / 3 * (frames - 1)
    print(
        f"streaming {height}x{width}: {frames} frames doubled in {wall:.1f} s, "
        f"{(2 * frames - 1) / wall:.2f} output frames/s; the network alone {network:.1f} s"
    )


def size(text: str) -> tuple[int, int]:
    height, width = text.split("x")
    return int(height), int(width)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", choices=VARIANTS, default="small")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--down-scale", type=float, default=1.0)
    parser.add_argument(
        "--sizes", nargs="+", type=size, default=[(256, 448), (720, 1280), (1080, 1920)]
    )
    parser.add_argument("--stream", type=size, default=(256, 448))
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory-on", metavar="TOPOLOGY", help="a TPU, such as v5e:2x2")
    parser.add_argument("--tile", type=int, default=0, help="of refinement, with --memory-on")
    arguments = parser.parse_args()
    if arguments.memory_on:
        network = VARIANTS[arguments.variant].network
        model = InterpolationNetwork(dataclasses.replace(network, dtype=jnp.dtype(arguments.dtype)))
        scale, tile = arguments.down_scale, arguments.tile
        return memory(model, arguments.sizes, scale, tile, arguments.memory_on)
    model, variables = random_network(arguments.variant, arguments.dtype)
    device = jax.devices()[0]
    print(f"EMA-VFI {arguments.variant}, {arguments.dtype}, one {device.device_kind}, batch 1")
    time_per_frame(model, variables, arguments.sizes, arguments.down_scale, arguments.repeats)
    streaming(model, variables, arguments.stream, arguments.frames)


if __name__ == "__main__":
    main()
