"""Machines that are not here: what their chips can do, and devices for the compiler to aim at."""

import difflib
import math
import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from jaxvision.errors import InputError, nearest

GIGA, GIBI = 10**9, 2**30


@dataclass(frozen=True)
class Chip:
    """Of the makers' datasheets.

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
    rings_from: int = 4
    shapes: tuple[str, ...] = ()
    devices: int = 1


FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
CUBES = (
    *("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8", "8x8x12", "8x8x16"),
    *("8x16x16", "16x16x16", "16x16x24"),
)
GPUS = ("1", "2", "4", "8")
CHIPS = {
    "v4": Chip("tpu", "TPU v4", 275e12, 32 * GIBI, 1.23e12, 50e9, 3, 4, 4, CUBES),
    "v5e": Chip("tpu", "TPU v5 lite", 197e12, 16 * GIBI, 0.82e12, 50e9, 2, 8, 16, FLAT),
    "v5p": Chip("tpu", "TPU v5", 459e12, 95 * GIBI, 2.46e12, 100e9, 3, 4, 4, CUBES),
    "v6e": Chip("tpu", "TPU v6 lite", 920e12, 32 * GIBI, 1.64e12, 112e9, 2, 8, 16, FLAT),
    "tpu7x": Chip("tpu", "TPU7x", 2310e12, 192 * GIBI, 7.4e12, 200e9, 3, 4, 4, CUBES, 2),
    "h100": Chip("cuda", "NVIDIA H100", 989e12, 80 * GIGA, 3.35e12, 450e9, 0, 8, 0, GPUS),
    "h200": Chip("cuda", "NVIDIA H200", 989e12, 141 * GIGA, 4.8e12, 450e9, 0, 8, 0, GPUS),
}
# Nobody is to be asked where this machine's TPU is (nor warn that there is none), and another
# process may use the compiler, too.
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
        # "TPU v5" begins "TPU v5 lite", too; of GPUs the memory follows.
        gpu = chip.platform == "cuda" and device_kind.startswith(chip.jax_kind)
        if gpu or device_kind == chip.jax_kind:
            return name
    return None


def parse(name: str) -> Topology:
    """`[COUNTx]KIND:SHAPE`; InputError names the nearest of what there is."""
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
