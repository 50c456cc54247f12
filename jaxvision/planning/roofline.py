"""The least time a step can take: by arithmetic, by memory, by the links between chips."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jax.sharding import Mesh

from jaxvision.planning.collectives import Collective, slice_of
from jaxvision.planning.topologies import Topology


@dataclass(frozen=True)
class Roofline:
    """Seconds of a step if each resource alone had to do its part at its full rate.

    The three overlap at best, so a step takes at least the longest.
    """

    compute: float
    memory: float
    links: float  # within slices (or nodes)
    network: float  # between them

    @property
    def seconds(self) -> float:
        return max(self.compute, self.memory, self.links, self.network)

    @property
    def bound(self) -> str:
        parts = vars(self)
        return max(parts, key=lambda name: parts[name])


def roofline(
    topology: Topology,
    mesh: Mesh,
    *,
    flops: float,
    bytes_moved: float,
    collectives: Iterable[Collective],
    host_network: float,
    of_peak: float = 1.0,
) -> Roofline:
    """The times of one step.

    flops, bytes_moved: of one device.  host_network: bytes a second between slices, per host.
    of_peak: the share of the peak rate that the arithmetic units are assumed to reach.
    """
    chip = topology.chip
    per_chip = max(mesh.devices.size // topology.chips, 1)
    links = network = 0.0
    network_rate = host_network * topology.hosts / mesh.devices.size
    for collective in collectives:
        inside = collective.moved - collective.crossing
        if inside:
            links += inside / axis_rate(topology, mesh, collective.axes)
        network += collective.crossing / network_rate
    return Roofline(
        flops * per_chip / (chip.flops * of_peak),
        bytes_moved * per_chip / chip.hbm_rate,
        links,
        network,
    )


def axis_rate(topology: Topology, mesh: Mesh, axes: Sequence[str]) -> float:
    """Bytes a second that one device can send to others along mesh `axes`, within its slice.

    A torus side that the axes cover whole, and whose ends are joined, is a ring: a chip uses both
    of its links along it. Otherwise it uses one, as at the end of a line. Where the axes take every
    n-th chip of a side, n such groups share its links.
    """
    chip = topology.chip
    if not chip.sides:
        return chip.link
    first = tuple(slice(None) if name in axes else 0 for name in mesh.axis_names)
    group = list(np.ravel(mesh.devices[first]))
    group = [device for device in group if slice_of(device) == slice_of(group[0])]
    places = np.array([device.coords for device in group])
    links = 0.0
    for side in range(len(topology.shape)):
        covered = np.unique(places[:, side])
        if len(covered) == 1:
            continue
        spacing = int(np.diff(covered).min())
        ring = len(covered) * spacing == topology.shape[side] >= chip.rings_from
        links += (2 if ring else 1) / spacing
    # Two devices of one chip share its links; within the chip they need none.
    per_chip = max(mesh.devices.size // topology.chips, 1)
    return (links or 1) * chip.link / per_chip
