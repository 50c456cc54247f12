"""Memory of LinK's published detector at its published capacities, by the TPU compiler.

    python benchmarks/link_memory.py [--only inference|training] [--target v5e|v5p]

No TPU is needed: libtpu compiles for a described chip. Inference: one scan of 160,000 voxels, with
decoding and suppression. Training: two scans of 120,000 voxels, one step of loss and gradients (two
scans a chip, as published).
"""

import argparse
import time

import jax
from flax import linen as nn
from one_chip import first_chip, placed

from jaxvision.methods.link.detection.pretrained import level_shares
from jaxvision.registry import make_task
from jaxvision.training.config import load_config

TARGETS = {"v5e": ("v5e:2x2", 16), "v5p": ("v5p:2x2x1", 95)}  # topology, GB of a chip


def published(scans: int):
    """The task of the published recipe, with a batch of that many scans."""
    overrides = [f"train.batch_size={scans}", f"task.evaluation_batch={scans}"]
    overrides.append("train.loss_groups=1")
    return make_task(load_config("link/nuscenes_centerpoint_elkv3", overrides))


def compiled(kind: str, target: str):
    """The compiled computation and the seconds it took to compile."""
    sharding = first_chip(TARGETS[target][0])
    task = published(2 if kind == "training" else 1)
    boxed = jax.eval_shape(task.init, jax.random.key(0))
    variables = placed(nn.meta.unbox(boxed), sharding)
    if kind == "inference":
        fields = task.packing("test").specs(1)

        def step(variables, batch):
            return task.predict(variables, batch, jax.random.key(0))
    else:
        fields = task.batch_specs("train")["plain"]

        def step(variables, batch):
            def loss(params):
                total, aux = task.loss(
                    {**variables, "params": params}, batch, jax.random.key(0), True
                )
                return total, aux.state

            return jax.value_and_grad(loss, has_aux=True)(variables["params"])

    start = time.monotonic()
    with jax.set_mesh(sharding.mesh):
        found = jax.jit(step).lower(variables, placed(dict(fields), sharding)).compile()
    return found, time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("inference", "training"))
    parser.add_argument("--target", choices=tuple(TARGETS))
    arguments = parser.parse_args()
    print(f"capacities of the levels: {level_shares(160_000)} of the voxels")
    for kind in ("inference", "training"):
        for target in TARGETS if kind == "inference" else ("v5p",):
            if arguments.only not in (None, kind) or arguments.target not in (None, target):
                continue
            found, seconds = compiled(kind, target)
            memory = found.memory_analysis()
            parts = {
                "arguments": memory.argument_size_in_bytes,
                "outputs": memory.output_size_in_bytes,
                "temporary": memory.temp_size_in_bytes,
            }
            total = sum(parts.values()) / 2**30
            shown = ", ".join(f"{name} {size / 2**30:.2f}" for name, size in parts.items())
            print(
                f"{kind} on {target}: {total:.2f} GiB of {TARGETS[target][1]} GB ({shown}); "
                f"compiled in {seconds:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
