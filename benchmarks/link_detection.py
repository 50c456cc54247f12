"""LinK detection on this machine: scans a second, step time, and the network beside PyTorch's."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from memory_held import compiled
from ml_collections import ConfigDict
from timing import seconds
from untrained import untrained

from jaxvision.data.lidar.moving_streets import MovingStreets
from jaxvision.data.lidar.ray_casting import Sensor
from jaxvision.methods.link.detection.inputs import PLAIN, DetectionPacking
from jaxvision.methods.link.detection.task import DetectionTask
from jaxvision.registry import make_task
from jaxvision.training.config import load_config

try:
    import link_detection_torch
    import link_torch
except ImportError:  # PyTorch is not among the project's dependencies.
    link_detection_torch = link_torch = None


class Found(NamedTuple):
    """rate: scans a second.  program: compiled, of loss and gradients where they were measured, or
    else of inference."""

    rate: float
    program: Any


def report(
    name: str,
    batch_size: int,
    repeats: int,
    overrides: Sequence[str] = (),
    *,
    training: bool = True,
) -> Found:
    """Measures the recipe called `name`, with some settings changed, on made-up streets, voxelised
    as it says, and prints.

    training: also the gradients, and the network beside PyTorch's.
    """
    config = load_config(name, [f"train.batch_size={batch_size}", *overrides])
    task = make_task(config)
    assert isinstance(task, DetectionTask)
    variables = untrained(task.init, jax.random.key(0))
    batch, host = batch_of(task.packing("test"), config.data.sensor, batch_size)
    voxels = int(batch["count"].mean())
    print(f"\n{name}: {batch_size} scans a batch, {voxels} voxels a scan")

    predict = compiled(lambda v, b: task.predict(v, b, jax.random.key(0)), variables, batch)
    lost = int(np.sum(predict(variables, batch)["overflow"]))
    if lost:
        print(f"{lost} voxels and blocks found no room: raise model.level_share, block_share")
    taken = 1000 * np.median(seconds(predict, variables, batch, repeats=repeats))
    rate = 1000 * batch_size / taken
    print(f"inference: {taken:.1f} ms, {rate:.1f} scans a second")
    print(f"voxelisation on the host: {host:.1f} ms a scan")
    if not training:
        return Found(float(rate), predict)

    batch, _ = batch_of(task.packing("train"), config.data.sensor, batch_size)

    def step(variables, batch):
        def loss(params):
            whole = {**variables, "params": params}
            return task.loss(whole, batch, jax.random.key(0), True)[0]

        return jax.value_and_grad(loss)(variables["params"])

    program = compiled(step, variables, batch)
    taken = 1000 * np.median(seconds(program, variables, batch, repeats=repeats))
    print(f"loss and gradients: {taken:.1f} ms a step")
    if link_torch is not None:
        print(beside_torch(task, variables, batch, repeats), flush=True)
    return Found(float(rate), program)


def batch_of(
    packing: DetectionPacking, sensor: ConfigDict, count: int
) -> tuple[dict[str, np.ndarray], float]:
    """A packed batch, and the milliseconds a scan took on the host."""
    streets = MovingStreets(count, 0, Sensor(**sensor.to_dict()), 2)
    scans = [streets[n] for n in range(count)]
    start = time.perf_counter()
    packed = [packing(scan, np.random.default_rng(0), PLAIN) for scan in scans]
    spent = 1000 * (time.perf_counter() - start) / count
    return {name: np.stack([p[name] for p in packed]) for name in packed[0]}, spent


def beside_torch(
    task: DetectionTask, variables: Mapping[str, Any], batch: Mapping[str, Any], repeats: int
) -> str:
    """From voxels and their maps to raw maps: the backbone, the neck and the head alone."""
    levels = jax.jit(task.levels)(batch["coords"], batch["count"])
    x, model = jnp.asarray(batch["features"]), task.model

    def outputs(variables, x, levels, train):
        found = model.apply(variables, x, levels, train, mutable=["batch_stats"] if train else [])
        return link_detection_torch.in_order(found[0], model.velocity)

    network = link_detection_torch.TorchDetector(model, levels)
    exist = np.asarray(levels[0].sites.valid)
    read = link_torch.tensor(np.asarray(x)[exist])
    return link_torch.compare(
        outputs, lambda weights: network(weights, read), variables, (x, levels), repeats
    )
