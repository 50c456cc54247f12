"""Machines to plan for: what their chips can do, and devices to compile for without having them."""

import difflib
import math
import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from jaxvision.errors import InputError, nearest

GIGA, GIBI = 10**9, 2**30


@dataclass(frozen=True, kw_only=True)
class Chip:
    """A chip as its maker's datasheet has it.

    jax_kind: what JAX calls its devices (of a GPU, how that begins).
    flops: dense bfloat16 operations a second.  hbm: bytes.  hbm_rate: bytes a second.
    link: bytes a second of one link, one direction; a TPU has two links along each side of its
        torus.  sides: of the torus; 0 where chips of a host meet in a switch.
    rings_from: the shortest side whose ends are joined.  per_host: chips of a host.
    devices: that JAX makes of a chip.
    """

    platform: str
    jax_kind: str
    flops: float
    hbm: float
    hbm_rate: float
    link: float
    sides: int
    per_host: int
    rings_from: int
    shapes: tuple[str, ...]
    devices: int = 1


FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
CUBES = (
    *("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8", "8x8x12", "8x8x16"),
    *("8x16x16", "16x16x16", "16x16x24"),
)
GPUS = ("1", "2", "4", "8")
# What chips of a kind have in common.
TORUS_2D: dict[str, Any] = dict(platform="tpu", sides=2, per_host=8, rings_from=16, shapes=FLAT)
TORUS_3D: dict[str, Any] = dict(platform="tpu", sides=3, per_host=4, rings_from=4, shapes=CUBES)
NODE: dict[str, Any] = dict(platform="cuda", sides=0, per_host=8, rings_from=0, shapes=GPUS)
CHIPS = {
    "v4": Chip(
        jax_kind="TPU v4", flops=275e12, hbm=32 * GIBI, hbm_rate=1.23e12, link=50e9, **TORUS_3D
    ),
    "v5e": Chip(
        jax_kind="TPU v5 lite", flops=197e12, hbm=16 * GIBI, hbm_rate=0.82e12, link=50e9, **TORUS_2D
    ),
    "v5p": Chip(
        jax_kind="TPU v5", flops=459e12, hbm=95 * GIBI, hbm_rate=2.46e12, link=100e9, **TORUS_3D
    ),
    "v6e": Chip(
        jax_kind="TPU v6 lite",
        flops=920e12,
        hbm=32 * GIBI,
        hbm_rate=1.64e12,
        link=112e9,
        **TORUS_2D,
    ),
    "tpu7x": Chip(
        jax_kind="TPU7x",
        flops=2310e12,
        hbm=192 * GIBI,
        hbm_rate=7.4e12,
        link=200e9,
        devices=2,
        **TORUS_3D,
    ),
    "h100": Chip(
        jax_kind="NVIDIA H100", flops=989e12, hbm=80 * GIGA, hbm_rate=3.35e12, link=450e9, **NODE
    ),
    "h200": Chip(
        jax_kind="NVIDIA H200", flops=989e12, hbm=141 * GIGA, hbm_rate=4.8e12, link=450e9, **NODE
    ),
}
# The compiler does not look for a TPU of this machine, does not warn that there is none, and lets
# other processes use it at the same time.
TPU_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-8",
}
FORM = re.compile(r"(?:(\d+)x)?([a-z]+\d*[a-z]*):(\d+(?:x\d+)*)")
EXAMPLES = "v5e:16x16, v5p:8x8x16, 4xv5e:16x16 (four slices), h100:8, 4xh200:8 (four nodes)"


@dataclass(frozen=True)
class Topology:
    """`groups` slices (of TPUs) or nodes (of GPUs) of chips in the form `shape`."""

    name: str
    kind: str
    shape: tuple[int, ...]
    groups: int = 1

    @property
    def chip(self) -> Chip:
        return CHIPS[self.kind]

    @property
    def chips(self) -> int:
        return self.groups * math.prod(self.shape)

    @property
    def hosts(self) -> int:
        return self.groups * -(-math.prod(self.shape) // self.chip.per_host)


def kind_of(device_kind: str) -> str | None:
    """The name in `CHIPS` of what JAX calls `device_kind`, None for another chip."""
    for name, chip in CHIPS.items():
        # "TPU v5" is also how "TPU v5 lite" begins; a GPU's name goes on with its memory.
        gpu = chip.platform == "cuda" and device_kind.startswith(chip.jax_kind)
        if gpu or device_kind == chip.jax_kind:
            return name
    return None


def parse(name: str) -> Topology:
    """`[COUNTx]KIND:SHAPE`; InputError names the nearest known ones."""
    match = FORM.fullmatch(name)
    if match is None:
        raise InputError(f"topology {name!r}: expected [COUNTx]KIND:SHAPE, e.g. {EXAMPLES}")
    count, kind, text = match.groups()
    if kind not in CHIPS:
        raise InputError(f"topology {name!r}: unknown chip {kind!r}{nearest(kind, CHIPS)}")
    groups, known = int(count or 1), CHIPS[kind].shapes
    if text not in known or not groups:
        chips = math.prod(int(side) for side in text.split("x"))

        def distance(shape: str) -> tuple[float, float]:
            size = math.prod(int(side) for side in shape.split("x"))
            alike = difflib.SequenceMatcher(None, text, shape).ratio()
            return abs(math.log(size / max(chips, 1))), -alike

        best = sorted(known, key=distance)[:3]
        raise InputError(
            f"topology {name!r}: no such {kind}; nearest: "
            + ", ".join(f"{kind}:{shape}" for shape in best)
            + (f" ({kind} comes by the node: several are 2x{kind}:8)" if kind[0] == "h" else "")
        )
    return Topology(name, kind, tuple(int(side) for side in text.split("x")), groups)


def smaller(topology: Topology) -> Topology | None:
    """Half of the slices or nodes, or of one the next smaller form; None of a single chip."""
    if topology.groups > 1:
        groups, shape = topology.groups // 2, topology.shape
    else:
        sides = [tuple(int(side) for side in form.split("x")) for form in topology.chip.shapes]
        within = [
            each
            for each in sides
            if each != topology.shape
            and all(a <= b for a, b in zip(each, topology.shape, strict=True))
        ]
        if not within:
            return None
        groups, shape = 1, max(within, key=math.prod)
    form = f"{topology.kind}:{'x'.join(map(str, shape))}"
    return Topology(form if groups == 1 else f"{groups}x{form}", topology.kind, shape, groups)


def describe(topology: Topology) -> list[Any]:
    """Devices of `topology` that programs can be compiled for, but not run on."""
    if topology.chip.platform == "cuda":
        return _describe_gpus(topology)
    if find_spec("libtpu") is None:
        raise InputError(
            f"topology {topology.name!r} needs the TPU compiler: pip install 'jaxvision[tpu]'"
        )
    for name, value in TPU_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from jax.experimental import topologies

    options: dict[str, Any] = {}
    if topology.groups > 1:
        options["num_slices"] = topology.groups
    shape = topology.shape
    if topology.kind == "v4":
        options["chip_config_name"] = "megacore"  # both cores of a chip are one device, as in use
    if math.prod(shape) == 1:
        options["chips_per_host_bounds"] = (1, 1, 1)
        shape = (1, 1, 1)
    form = f"{topology.kind}:{'x'.join(map(str, shape))}"
    return list(topologies.get_topology_desc(form, platform="tpu", **options).devices)


def _describe_gpus(topology: Topology) -> list[Any]:
    if not any(find_spec(f"jax_cuda{version}_plugin") for version in (13, 12)):
        raise InputError(
            f"topology {topology.name!r} needs the CUDA compiler: pip install 'jaxvision[cuda]' "
            "(several GB; no GPU is needed)"
        )
    os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")
    from jax.experimental import topologies

    from jaxvision.planning.gpu_description import description

    found = topologies.get_topology_desc(
        platform="cuda",
        target_config=description(topology.kind),
        topology=f"1x{topology.groups}x{math.prod(topology.shape)}",
    )
    return list(found.devices)
