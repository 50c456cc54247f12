"""CamLiFlow's networks whole: time beside the same in PyTorch operations.

    python benchmarks/camliflow.py [--networks raft camliraft_l camliraft] [--threads 2]
    python benchmarks/camliflow.py --peak             # memory of both, each in a process of its own
    python benchmarks/camliflow.py --tpu v5e:2x2      # runs nothing: by the TPU compiler

A pair of 540 x 960 pixels and 8,192 points, published iterations, float32, random weights: time
does not depend on them. Both have as many threads and take turns; where answers differ by more
than a thousandth of their size it stops. `--lookup` is ours: PyTorch has the published volume.
"""

import argparse
import dataclasses
import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SIZE, POINTS = (540, 960), 8192
CAMERA = (1050.0, 479.5, 269.5)  # FlyingThings3D's
NETWORKS = ("raft", "camliraft_l", "camliraft", "pwc", "camlipwc_l", "camlipwc")
# Of the longest flow: how far answers may lie apart. A neighbour that rounding swaps moves a point.
TOLERANCE = 1e-3


def limit(threads: int) -> None:
    """So many cores for this process, which both libraries size their pools by; before JAX."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:threads]))


def given() -> tuple:
    """(images, clouds, camera): noise, and points that move by a few centimetres."""
    import numpy as np

    rng = np.random.default_rng(0)
    height, width = SIZE
    images = rng.integers(0, 256, (1, 2, height, width, 3)).astype(np.float32)
    depth = rng.uniform(5, 35, (1, POINTS, 1))
    pixels = rng.uniform(0, 1, (1, POINTS, 2)) * (width, height) - CAMERA[1:]
    first = np.concatenate([pixels * depth / CAMERA[0], depth], axis=-1)
    second = first + rng.normal(0, 0.05, first.shape)
    clouds = np.stack([first, second], axis=1).astype(np.float32)
    return images, clouds, np.asarray([CAMERA], np.float32)


def network_of(name: str, lookup: str) -> Any:
    from jaxvision.methods.camliflow.variants import VARIANTS

    config = VARIANTS[name]
    return config if "pwc" in name else dataclasses.replace(config, lookup=lookup)


def ours(config: Any) -> tuple:
    """(variables by chance, a function of them and of what is given)."""
    import jax
    import jax.numpy as jnp
    from flax.core import meta

    from jaxvision.methods.camliflow.model import FlowInputs, FlowNetwork

    model = FlowNetwork(config)
    start = FlowInputs(
        jnp.zeros((1, 2, 128, 128, 3)),
        jnp.ones((1, 2, config.pyramid[0] + 1, 3)),
        jnp.ones((1, 3)),
    )

    def run(variables: Any, *arrays: Any) -> tuple:
        found = model.apply(variables, FlowInputs(*arrays))
        return found.final_2d, found.final_3d

    init = jax.jit(lambda key: model.init(key, start, iterations=1))
    return init, meta.unbox, run


def prepared(name: str, lookup: str) -> tuple:
    """(config, variables, jitted call)."""
    import jax

    config = network_of(name, lookup)
    init, unbox, run = ours(config)
    return config, unbox(init(jax.random.key(0))), jax.jit(run)


def theirs(config: Any, variables: Any, arrays: tuple, threads: int) -> Any:
    import camliflow_torch
    import torch

    from jaxvision.methods.camliflow.weights import entries
    from jaxvision.weights import to_state_dict

    torch.set_num_threads(threads)
    return camliflow_torch.call(config, to_state_dict(variables, entries(config)), arrays)


def check_equal(found: tuple, expected: tuple) -> None:
    """SystemExit where two answers differ by more than rounding."""
    import numpy as np

    for mine, other in zip(found, expected, strict=True):
        if mine is None:
            continue
        apart = np.linalg.norm(np.asarray(mine) - other) / np.linalg.norm(other)
        if not apart < TOLERANCE:
            raise SystemExit(f"PyTorch's answer differs from ours by {apart:.2g} of its size")


def times(settings: argparse.Namespace) -> None:
    import jax
    import numpy as np
    from timing import alternately

    arrays = given()
    print(f"{SIZE[0]} x {SIZE[1]}, {POINTS} points, float32, {settings.threads} threads, seconds")
    print("| network | ours | PyTorch | ours / PyTorch |")
    print("| --- | --- | --- | --- |")
    for name in settings.networks:
        config, variables, run = prepared(name, settings.lookup)
        beside = theirs(config, variables, arrays, settings.threads)
        check_equal(jax.device_get(run(variables, *arrays)), beside())
        calls = [lambda run=run, v=variables: run(v, *arrays), beside]
        taken = alternately(calls, settings.repeats)
        mine, other = (float(np.min(each)) for each in taken)
        ratio = float(np.median(np.divide(*taken)))
        print(f"| {name} | {mine:.2f} | {other:.2f} | {ratio:.2f} |", flush=True)


def peaks(settings: argparse.Namespace) -> None:
    """Each form in a process of its own, which says how far its memory grew in the call."""
    print(f"{SIZE[0]} x {SIZE[1]}, {POINTS} points, float32: MB that a call adds to the process")
    print("| network | ours, on demand | ours, volume | PyTorch |")
    print("| --- | --- | --- | --- |")
    for name in settings.networks:
        shown = []
        for form in ("on_demand", "volume", "torch"):
            if form == "volume" and "raft" not in name:
                shown.append("")
                continue
            command = [sys.executable, __file__, "--networks", name, "--form", form]
            command += ["--threads", str(settings.threads)]
            ended = subprocess.run(command, check=True, capture_output=True, text=True)
            shown.append(ended.stdout.split()[-1])
        print(f"| {name} | {' | '.join(shown)} |", flush=True)


def peak_of(form: str, name: str, threads: int) -> None:
    """Prints how far the resident size grows in a call whose program is compiled."""
    import jax

    arrays = given()
    config, variables, run = prepared(name, "volume" if form == "torch" else form)
    if form == "torch":
        call = theirs(config, jax.device_get(variables), arrays, threads)
    else:
        program = run.lower(variables, *arrays).compile()
        call = lambda: jax.block_until_ready(program(variables, *arrays))  # noqa: E731
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the largest size is that of now
    before = resident("VmRSS")
    call()
    print(f"{(resident('VmHWM') - before) / 1e3:.0f}")


def resident(line: str) -> int:
    """kB of this process by Linux: VmRSS now, VmHWM at most."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{line}:")[1].split()[0])


def on_tpu(settings: argparse.Namespace) -> None:
    import jax
    from one_chip import first_chip, placed

    chip = first_chip(settings.tpu)
    print(f"{settings.tpu}, one pair, float32: MB on a chip beside arguments")
    print("| network | temporaries |")
    print("| --- | --- |")
    for name in settings.networks:
        config = network_of(name, settings.lookup)
        init, unbox, run = ours(config)
        variables = placed(unbox(jax.eval_shape(init, jax.random.key(0))), chip)
        shapes = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in given()]
        with jax.set_mesh(chip.mesh):
            program = jax.jit(run).lower(variables, *placed(shapes, chip)).compile()
        room = program.memory_analysis().temp_size_in_bytes / 1e6
        print(f"| {name} | {room:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--lookup", choices=("volume", "on_demand"), default="volume")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peak", action="store_true", help="memory instead of time")
    parser.add_argument("--tpu", metavar="TOPOLOGY", help="compile for it; run nothing")
    parser.add_argument("--form", choices=("on_demand", "volume", "torch"), help=argparse.SUPPRESS)
    settings = parser.parse_args()
    limit(settings.threads)
    if settings.form:
        peak_of(settings.form, settings.networks[0], settings.threads)
    elif settings.tpu:
        on_tpu(settings)
    elif settings.peak:
        peaks(settings)
    else:
        times(settings)


if __name__ == "__main__":
    main()
