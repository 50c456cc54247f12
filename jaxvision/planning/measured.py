"""What a run on the planned machine really took, from its workdir."""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from jaxvision.errors import InputError, reading
from jaxvision.planning.plan import Plan
from jaxvision.planning.topologies import Topology, kind_of
from jaxvision.text_files import a_count, check_shape, read_json, read_rows
from jaxvision.training.config import as_json, difference
from jaxvision.training.mesh import resolve

# Settings that decide how long a step takes, beside the mesh.
DECISIVE = ("method", "model.", "task.", "dtype", "train.batch_size", "train.accumulate")


@dataclass(frozen=True)
class MeasuredRun:
    """The last start of a run.

    seconds: median of a step, between logs.  peak: most bytes of one device's memory in use, None
    where the platform does not tell.
    """

    workdir: Path
    config: dict[str, Any]
    devices: list[str]
    seconds: float
    peak: float | None

    @classmethod
    def read(cls, workdir: Path) -> "MeasuredRun":
        """InputError for a folder that holds no run, or one that logged less than three times."""
        files = [workdir / name for name in ("config.json", "runs.jsonl", "metrics.jsonl")]
        for file in files:
            if not file.is_file():
                raise InputError(f"--measured {workdir}: no run's workdir ({file.name} is missing)")
        config = read_json(files[0], dict)
        # A line that a crash tore is none.
        starts, metrics = (read_rows(file) for file in files[1:])
        start = starts[-1] if starts else {}
        check_shape(start, {"time": str, "devices": [str]}, files[1])
        with reading(files[1], "starts of a run"):
            since = datetime.fromisoformat(start["time"]).timestamp()
        rows = [row for row in metrics if "loss" in row]
        check_shape(rows, [{"step": a_count, "time": float}], files[2])
        # The first log is that of the first step, which waits for much else.
        rows = [row for row in rows if row["time"] >= since][1:]
        if len(rows) < 2:
            raise InputError(f"--measured {workdir}: its last start logged less than three times")
        seconds = statistics.median(
            (b["time"] - a["time"]) / (b["step"] - a["step"]) for a, b in itertools.pairwise(rows)
        )
        peak = max((row.get("device_memory_peak", 0) for row in rows), default=0) or None
        return cls(workdir, config, start["devices"], seconds, peak)

    def compare(self, plan: Plan, topology: Topology, config: ConfigDict) -> Plan:
        """The plan with what was measured, if the run was on that topology and mesh.

        config: that was planned. InputError where the run's would not take the same step.
        """
        if not self.was_on(topology):
            return plan
        lines = [
            line for line in difference(self.config, as_json(config)) if line.startswith(DECISIVE)
        ]
        mesh = dict(zip(plan.mesh, resolve(self.config["mesh"], len(self.devices)), strict=True))
        if mesh != plan.mesh:
            lines.append(f"mesh: {mesh} -> {plan.mesh}")
        if lines:
            raise InputError(f"--measured {self.workdir}: not the planned step: {'; '.join(lines)}")
        return replace(
            plan,
            measured_seconds=self.seconds,
            measured_peak=self.peak * topology.chip.devices if self.peak else None,
        )

    def was_on(self, topology: Topology) -> bool:
        """Whether the run had as many chips of that kind. (Their arrangement it does not say.)"""
        same_kind = {kind_of(device) for device in self.devices} == {topology.kind}
        return same_kind and len(self.devices) == topology.chips * topology.chip.devices

    def check_was_on_one_of(self, topologies: Sequence[Topology]) -> None:
        """InputError before anything is compiled."""
        if not any(map(self.was_on, topologies)):
            ran = f"{len(self.devices)} x {' and '.join(sorted(set(self.devices)))}"
            names = ", ".join(topology.name for topology in topologies)
            raise InputError(f"--measured {self.workdir}: ran on {ran}, which is none of {names}")
