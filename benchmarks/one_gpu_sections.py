"""What each section of one_gpu.py measures, by the other benchmarks' own functions."""

import argparse
import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import emavfi
import jax
import kernel_cases
import link_detection
import points_and_flow
import sparse_convolution
import sparse_sampling
import sparseformer
import umt
import videomae_step
import voxel_aggregation
from memory_held import NONE, memory
from voxel_streets import copy_bandwidth, implementations, on_hopper

from jaxvision.ops.dispatch import platform

try:
    import videomae_torch
except ImportError:  # PyTorch is not among the project's dependencies.
    videomae_torch = None

# (case, what was measured, whether it is within its bounds; None where there are none)
Measured = Iterator[tuple[str, str, bool | None]]
# A network of each kind that a CPU compiles in seconds.
TINY = {
    "model.width": 32,
    "model.heads": 2,
    "model.depth": 2,
    "model.image_size": (32, 32),
}
TINY_VIDEOMAE = {
    **TINY,
    "model.decoder_width": 32,
    "model.decoder_heads": 2,
    "model.decoder_depth": 1,
    "dtype": "float32",
}
TINY_UMT = {
    **TINY,
    "model.frames": 2,
    "teacher.image_size": (32, 32),
    "teacher.width": 32,
    "teacher.heads": 2,
    "teacher.depth": 2,
    "teacher.returned_layers": 1,
    "teacher.output_width": 16,
}


def equal(tiny: bool) -> Measured:
    repeats = 2 if tiny else kernel_cases.REPEATS
    with ThreadPoolExecutor(8) as pool:
        # Most of the time is the compiler's.
        cases = list(kernel_cases.kernel_cases(tiny))
        for case, job in [(case, pool.submit(kernel_cases.compiled, case)) for case in cases]:
            if job.exception() is not None:
                yield f"{case.name}, reference", said(job.exception()), False
                continue
            for dtype, both in job.result().items():
                yield f"{case.name}, {dtype}", *judged(both, dtype, repeats)


def said(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def judged(both: kernel_cases.Compiled | Exception, dtype: str, repeats: int) -> tuple[str, bool]:
    """What is said of a kernel in one dtype, and whether it is right."""
    if isinstance(both, Exception):
        return said(both), False
    try:
        found = kernel_cases.verdict(both, repeats)
    except Exception as error:  # the others are to be seen, too
        return said(error), False
    bits = "same bits" if found.same_bits else "other bits in other runs"
    return f"{found.error:.1e}, {bits}", found.right(dtype)


def tokens(tiny: bool) -> Measured:
    only = ("mixing",) if tiny else tuple(sparse_sampling.CASES)
    for kind in only:
        settings = argparse.Namespace(
            batch=1 if tiny else 8, repeats=1 if tiny else 20, dtype="float32", only=kind
        )
        for row in sparse_sampling.measured(settings):
            ours = row.kernel or row.reference
            parts = [f"{ours:.2f} ms", f"XLA {row.reference / ours:.2f}x"]
            if row.torch:
                parts.append(f"PyTorch {row.torch / ours:.2f}x")
            if row.copy_share:
                parts.append(f"{row.copy_share:.0%} of a copy")
            yield f"{row.case} {row.way}", ", ".join(parts), None
            if tiny:
                break


def voxels(tiny: bool) -> Measured:
    bandwidth = copy_bandwidth(5) if platform() == "gpu" else None
    ours = implementations()[-1]
    for count in (400,) if tiny else (90_000, 300_000):
        settings = argparse.Namespace(
            channels=4 if tiny else 64,
            dtype="float32",
            repeats=1 if tiny else 5,
            form="cos",
            dense_most=0,
        )
        found = sparse_convolution.at(count, settings, bandwidth)
        for way in voxel_aggregation.PASSES:
            spent = found[ours, way]
            ratio = found["reference", way] / spent
            yield f"convolution {count} {way}", f"{spent:.2f} ms, XLA {ratio:.2f}x", None
        if tiny:
            return
        if on_hopper():
            settings.dtype = "bfloat16"
            found = sparse_convolution.at(count, settings, bandwidth)
            settings.dtype = "float32"
            for way in voxel_aggregation.PASSES:
                spent = found["mosaic_gpu", way]
                value = f"{spent:.2f} ms, Triton {found[ours, way] / spent:.2f}x"
                yield f"convolution {count} bfloat16 without Triton {way}", value, None
        times = voxel_aggregation.at(count, settings, bandwidth)
        for reach in voxel_aggregation.RANGES:
            for way in voxel_aggregation.PASSES:
                spent = times[ours, reach, way]
                ratio = times["reference", reach, way] / spent
                value = f"{spent:.2f} ms, XLA {ratio:.2f}x"
                if bandwidth:
                    moved = 4 * count * settings.channels * (2 if way == "forward" else 5)
                    value += f", {moved / (spent / 1e3) / bandwidth:.0%} of a copy"
                yield f"aggregation {count} range {reach} {way}", value, None
                if ("mosaic_gpu", reach, way) in times:
                    without = times["mosaic_gpu", reach, way]
                    value = f"{without:.2f} ms, Triton {spent / without:.2f}x"
                    yield f"aggregation {count} range {reach} without Triton {way}", value, None


def points(tiny: bool) -> Measured:
    for only in ("search", "sampling", "lookup", "point lookup camliraft_2048"):
        settings = argparse.Namespace(batch=1, repeats=1 if tiny else 10, only=only)
        for case, way, found in points_and_flow.measured(settings):
            ours = found["ours"]
            names = {"naive": "without kernel", "torch": "PyTorch"}
            ratios = [f"{names[n]} {found[n] / ours:.2f}x" for n in names if n in found]
            yield f"{case} {way}", ", ".join([f"{ours:.2f} ms", *ratios]), None
            if tiny:
                return


def videomae(tiny: bool) -> Measured:
    for size, clips in (("b", 2),) if tiny else (("b", 64), ("g", 8)):
        arguments = argparse.Namespace(
            size=size, clips=clips, frames=4 if tiny else 16, settings=TINY_VIDEOMAE if tiny else {}
        )
        rounds = 1 if tiny else 3
        dual = videomae_step.Way.of(videomae_step.recipe(arguments))
        yield f"{size} memory", memory(dual.step), None
        for _ in range(rounds):
            dual.round(2)
        seconds = statistics.median(dual.seconds)
        peak = videomae_step.peak()
        used = f", utilisation {dual.flops / seconds / peak:.1%}" if peak else ""
        rate = f"{clips / seconds:.0f} clips/s"
        yield f"{size} step", f"{seconds * 1e3:.1f} ms, {rate}{used}", None
        if tiny:
            yield from pretraining_beside_torch(size, dual, rounds)
            return
        full = videomae_step.Way.of(
            videomae_step.recipe(arguments, **{"task.decoder_mask_ratio": 0.0})
        )
        for _ in range(rounds):
            full.round(2)
        ratio = statistics.median(full.seconds) / seconds
        yield f"{size} full decoder", f"{ratio:.2f} times as long as dual masking", None
        del full
        yield from pretraining_beside_torch(size, dual, rounds)
        del dual
        if size == "b":
            yield from classifier_beside_torch(arguments, rounds)


def pretraining_beside_torch(size: str, way: videomae_step.Way, rounds: int) -> Measured:
    if videomae_torch is None:
        yield f"{size} step beside PyTorch", NONE, None
        return

    def ours() -> float:
        way.round(1)
        return way.seconds[-1]

    variables = jax.device_get(way.state.variables())
    found = videomae_torch.compare_pretraining(way.task, variables, way.batch, ours, rounds)
    for name, ratio in found:
        yield f"{size} step beside PyTorch, {name}", f"PyTorch {ratio:.2f}x", None


def classifier_beside_torch(arguments: argparse.Namespace, rounds: int) -> Measured:
    if videomae_torch is None:
        yield f"{arguments.size} classifier", NONE, None
        return
    model = videomae_step.classifier(arguments)
    for what, mine, ratio in videomae_torch.compare(model, 8, rounds):
        value = f"{mine * 1e3:.1f} ms, PyTorch {ratio:.2f}x"
        yield f"{arguments.size} classifier {what}", value, None


def umt_step(tiny: bool) -> Measured:
    arguments = argparse.Namespace(
        size="b",
        clips=2 if tiny else 32,
        rounds=1 if tiny else 5,
        settings=TINY_UMT if tiny else {},
    )
    taken, program = umt.stage1_seconds(arguments)
    yield "b16 memory", memory(program), None
    step = statistics.median(taken["step"])
    value = f"{step * 1e3:.1f} ms, {arguments.clips / step:.0f} clips/s"
    if umt.RIVAL in taken:
        value += f", PyTorch {statistics.median(taken[umt.RIVAL]) / step:.2f}x"
    yield "b16 step", value, None


def pictures(tiny: bool) -> Measured:
    settings = argparse.Namespace(
        variant="tiny",
        units=4 if tiny else None,
        batch=1 if tiny else 256,
        dtype="float32" if tiny else "bfloat16",
        repeats=1 if tiny else 10,
    )
    for place, (name, rates, both_ways) in enumerate(sparseformer.pictures_a_second(settings)):
        value = f"{rates[0]:.0f} pictures/s, {rates[1]:.0f} both ways"
        yield name, value, None
        if not place:  # later ones may hold less than it did
            yield f"{name} memory both ways", memory(both_ways), None
        if tiny:
            return


def frames(tiny: bool) -> Measured:
    for variant in ("small",) if tiny else ("small", "base"):
        smaller = {"width": 8, "depths": (1, 1, 1, 1, 1)} if tiny else {}
        dtype = "float32" if tiny else "bfloat16"
        model, variables = emavfi.random_network(variant, dtype, **smaller)
        size = (64, 64) if tiny else (1080, 1920)
        case = f"{variant} {size[0]}x{size[1]}"
        found = emavfi.frame_seconds(model, variables, size, 1.0, 1 if tiny else 5)
        beside = f", PyTorch {found.ratio:.2f}x" if found.ratio else ""
        yield case, f"{1 / found.best:.1f} frames/s{beside}", None
        yield f"{case} memory", memory(found.program), None


def scans(tiny: bool) -> Measured:
    name = "link/detection_demo" if tiny else "link/nuscenes_centerpoint_elkv3"
    smaller = ["model.neck_layers=1"] if tiny else []
    found = link_detection.report(name, 1, 1 if tiny else 5, smaller, training=not tiny)
    yield name, f"{found.rate:.1f} scans/s", None
    yield f"{name} memory", memory(found.program), None


MEASURE: dict[str, Callable[[bool], Measured]] = {
    "equal": equal,
    "tokens": tokens,
    "voxels": voxels,
    "points": points,
    "videomae": videomae,
    "umt": umt_step,
    "sparseformer": pictures,
    "emavfi": frames,
    "link": scans,
}
