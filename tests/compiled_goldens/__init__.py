"""What the TPU's compiler makes of one recipe per method: text that a review can read.

A golden holds the sharding of every parameter, each collective with its mesh axes and bytes, and
the peak of a chip's memory without the program's code, for one version of JAX and of the compiler:
those constraints.txt pins.

    python -m tests.compiled_goldens                  # write them anew
    python -m tests.compiled_goldens v5p:4x4x4        # every other recipe: does it fit, how much
"""

import importlib.metadata
import re
from pathlib import Path

from ml_collections import ConfigDict

from jaxvision.planning.collectives import collectives
from jaxvision.planning.compile import Program, abstract_program
from jaxvision.planning.hlo import parse as parse_program
from jaxvision.planning.topologies import describe, parse
from jaxvision.planning.until_code import build_until_code
from jaxvision.registry import make_task
from jaxvision.training.config import load_config
from jaxvision.weights.mapping import flatten

FOLDER = Path(__file__).parent
TOPOLOGY = "v5e:2x4"
MESH = ("mesh.data=2", "mesh.fsdp=4")
# One recipe a method, with what makes it small: a program of few operations compiles in seconds.
RECIPES: dict[str, tuple[str, ...]] = {
    "videomae/demo": (
        *("model.frames=4", "model.image_size=(16,16)", "model.tubelet=2", "model.patch=8"),
        *("model.width=32", "model.heads=2", "model.depth=2", "model.decoder_width=16"),
        *("model.decoder_depth=1", "task.probe=False"),
    ),
    "sparseformer/demo": (
        *("model.cortex=1", "model.repeats=1", "model.widths=(32, 32)", "model.channels=8"),
        "train.batch_size=16",
    ),
    "link/demo": (
        *("model.network=linkencoder", "model.width=4", "data.voxels=128"),
        *("train.batch_size=8", "train.norm_groups=8", "train.loss_groups=8"),
    ),
    "pdpp/demo": ("model.width=32", "model.multipliers=(1,1,1)", "train.batch_size=16"),
    "emavfi/demo": ("model.depths=(1,1,1,1,1)", "model.unet_ratio=2"),
    "comae/demo": (
        *("model.width=32", "model.depth=2", "model.heads=2", "model.image_size=16"),
        *("model.patch=8", "data.side=16", "train.batch_size=16"),
    ),
    "umt/demo": (
        *("model.width=32", "model.heads=2", "model.depth=2", "model.frames=2"),
        *("teacher.width=32", "teacher.heads=2", "teacher.depth=2", "teacher.output_width=16"),
        *("teacher.returned_layers=1", "train.batch_size=16"),
    ),
    "stmixer/demo": (
        *("model.image_size=32", "model.width=16", "model.heads=2", "model.layers=1"),
        *("model.queries=4", "model.query_width=16", "model.query_heads=2", "model.stages=1"),
        *("model.hidden=16", "model.spatial_points=2", "data.height=32", "data.width=32"),
        *("task.short_sides=(32,)", "task.test_short_side=32", "train.batch_size=8"),
        "data.people=3",
    ),
    "cycleacr/demo": (
        *("model.width=16", "model.layers=1", "model.head_width=16", "model.hidden=16"),
        *("data.train=4", "data.seconds=4", "train.batch_size=8"),
    ),
    "camliflow/demo": (
        *("model.network=camliraft_l", "model.training_iterations=2", "model.iterations=2"),
        *("model.pyramid=(64,48,40,32,16)", "data.points=96", "optim.packed=False"),
    ),
}
MEMORY = re.compile(r"^(peak|arguments) ([\d,]+) bytes$", re.MULTILINE)


def versions() -> str:
    return ", ".join(f"{n} {importlib.metadata.version(n)}" for n in ("jax", "libtpu"))


def program_of(config: ConfigDict, topology: str) -> Program:
    machine = parse(topology)
    return abstract_program(config, make_task, machine, describe(machine), records=1000)


def path_of(recipe: str) -> Path:
    return FOLDER / f"{recipe.replace('/', '_')}.txt"


def small_program(recipe: str) -> Program:
    return program_of(load_config(recipe, [*MESH, *RECIPES[recipe]]), TOPOLOGY)


def render(recipe: str) -> str:
    """The golden of a recipe's largest bucket."""
    program = small_program(recipe)
    built = max(
        (build_until_code(program, bucket) for bucket in program.buckets), key=lambda b: b.peak
    )
    assert built.text is not None
    lines = [
        f"{versions()}; {TOPOLOGY}",
        f"{recipe} {' '.join((*MESH, *RECIPES[recipe]))}; bucket {built.bucket}",
        f"peak {built.peak:,.0f} bytes",
        f"arguments {built.arguments:,.0f} bytes",
    ]
    for c in collectives(parse_program(built.text), program.mesh):
        axes = " x ".join(c.axes) or "neighbours"
        lines.append(f"{c.kind} {axes} {c.dtype}: {c.count:,.0f} a step, {c.bytes:,.0f} bytes")
    return "\n".join([*lines, *shardings_of(program)]) + "\n"


def shardings_of(program: Program) -> list[str]:
    """A line for every trained parameter, by path: no compiler decides these."""
    lines = []
    for path, leaf in sorted(flatten(program.target.params).items()):
        parts = ((axes,) if isinstance(axes, str) else axes for axes in leaf.sharding.spec)
        spec = ", ".join("+".join(axes) if axes else "-" for axes in parts)
        lines.append(f"{path} {tuple(leaf.shape)} ({spec})")
    return lines


def memory(text: str) -> dict[str, int]:
    """The two sizes of a golden, in bytes."""
    return {name: int(size.replace(",", "")) for name, size in MEMORY.findall(text)}


def without_memory(text: str) -> list[str]:
    return MEMORY.sub("", text).splitlines()
