"""LinK detection on this machine: frames per second and training step time.

    python benchmarks/link_detection.py [--config link/detection_demo] [--batch 1] [--repeats 5]

Scans are made-up streets, voxelised by the recipe. Prints the median of the repeats, without
compilation; the voxelisation on the host is timed on its own.
"""

import argparse
import time

import jax
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict
from timing import seconds

from jaxvision.data.lidar.moving_streets import MovingStreets
from jaxvision.data.lidar.ray_casting import Sensor
from jaxvision.methods.link.detection.inputs import PLAIN
from jaxvision.registry import make_task
from jaxvision.training.config import load_config


def batch_of(packing, sensor: ConfigDict, count: int) -> tuple[dict[str, np.ndarray], float]:
    """A packed batch, and the milliseconds a scan took on the host."""
    streets = MovingStreets(count, 0, Sensor(**sensor.to_dict()), 2)
    scans = [streets[n] for n in range(count)]
    start = time.perf_counter()
    packed = [packing(scan, np.random.default_rng(0), PLAIN) for scan in scans]
    spent = 1000 * (time.perf_counter() - start) / count
    return {name: np.stack([p[name] for p in packed]) for name in packed[0]}, spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="link/detection_demo")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    config = load_config(arguments.config, [f"train.batch_size={arguments.batch}"])
    task, count = make_task(config), arguments.batch
    variables = nn.meta.unbox(jax.jit(task.init)(jax.random.key(0)))
    print(f"{arguments.config} on {jax.devices()[0].device_kind}, {count} scans a batch")

    batch, host = batch_of(task.packing("test"), config.data.sensor, count)
    predict = jax.jit(lambda v, b: task.predict(v, b, jax.random.key(0)))
    taken = 1000 * np.median(seconds(predict, variables, batch, repeats=arguments.repeats))
    voxels = int(batch["count"].mean())
    print(f"inference: {taken:.1f} ms, {1000 * count / taken:.1f} scans a second ({voxels} voxels)")
    print(f"voxelisation on the host: {host:.1f} ms a scan")

    batch, _ = batch_of(task.packing("train"), config.data.sensor, count)

    def step(variables, batch):
        def loss(params):
            whole = {**variables, "params": params}
            return task.loss(whole, batch, jax.random.key(0), True)[0]

        return jax.value_and_grad(loss)(variables["params"])

    taken = 1000 * np.median(seconds(jax.jit(step), variables, batch, repeats=arguments.repeats))
    print(f"loss and gradients: {taken:.1f} ms a step")


if __name__ == "__main__":
    main()
