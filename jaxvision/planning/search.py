"""Which mesh, micro-batch and rematerialisation fit, and which of those is fastest."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ml_collections import ConfigDict

from jaxvision.errors import InputError
from jaxvision.planning.plan import Plan, Planner, Target
from jaxvision.planning.topologies import Topology, describe, smaller
from jaxvision.training.config import leaves

MICRO_BATCHES, REMAT = "train.accumulate", "model.remat"
POLICIES = ("none", "dots", "full")
STATE_OVER_ALL_CHIPS = {"mesh.data": 1, "mesh.fsdp": -1, "mesh.tensor": 1}
TRIES = 3  # compilations for one mesh and policy
ROOM_FOR_STATE = 0.8  # share of a chip's memory; with more, no activations fit


def remedy(planner: Planner, target: Target, plan: Plan) -> Plan:
    """`plan`, which does not fit, with settings that do, each tried on the compiler.

    First more micro-batches; then also blocks recomputed in the backward pass; then also the state
    split over all chips.
    """
    recompute = (
        {REMAT: "full"} if setting(planner, plan.changes, REMAT) not in (None, "full") else {}
    )
    tried: list[dict[str, Any]] = []
    for extra in ({}, recompute, {**recompute, **STATE_OVER_ALL_CHIPS}):
        changes = {**plan.changes, **extra}
        if changes in tried:
            continue
        tried.append(changes)
        found = fewest_micro_batches(planner, target, changes, None if extra else plan)
        if found is not None:
            return replace(plan, remedy=found.changes)
    return plan


def search(planner: Planner, target: Target, compilations: int) -> list[Plan]:
    """Plans that fit, fastest first: over meshes and remat policies, each with the fewest
    micro-batches it needs. Stops after about `compilations`."""
    policies = POLICIES if REMAT in dict(leaves(planner.config.to_dict())) else (None,)
    found: list[Plan] = []
    limit = planner.compiled + compilations
    for mesh in meshes(planner, target):
        for policy in policies:
            if planner.compiled >= limit:
                planner.say(f"stopped after {compilations} compilations")
                return sorted(found, key=speed)
            changes = {**mesh, MICRO_BATCHES: 1} | ({REMAT: policy} if policy else {})
            plan = fewest_micro_batches(planner, target, changes)
            if plan is not None:
                found.append(plan)
    return sorted(found, key=speed)


def speed(plan: Plan) -> tuple[float, float]:
    """Seconds a step; of equals, what leaves more memory free."""
    return plan.seconds or math.inf, plan.peak


def meshes(planner: Planner, target: Target) -> Iterator[dict[str, Any]]:
    """Mesh shapes worth compiling: the state split over as few chips as hold it, and over four
    times as many until it is all of them; blocks split over one chip or two."""
    for tensor in (1, 2):
        fsdp = 1
        while fsdp * tensor <= len(target.devices):
            mesh = {"mesh.data": -1, "mesh.fsdp": fsdp, "mesh.tensor": tensor}
            try:
                program = planner.program(target, {**mesh, MICRO_BATCHES: 1})
            except InputError:  # it does not tile the chips, or the batch does not divide
                fsdp *= 2
                continue
            state = sum(program.state_bytes().values()) * target.devices_per_chip
            if state > ROOM_FOR_STATE * target.topology.chip.hbm:
                fsdp *= 2
                continue
            yield mesh
            fsdp *= 4


def fewest_micro_batches(
    planner: Planner, target: Target, changes: dict[str, Any], failed: Plan | None = None
) -> Plan | None:
    """The plan of `changes` with as few micro-batches as fit, at least those it has, or None.

    failed: the plan of `changes` as they are, where it is known not to fit.
    """
    used = setting(planner, changes, MICRO_BATCHES)
    try:
        counts = micro_batches(planner, target, changes)
    except InputError:
        return None
    counts = [count for count in counts if count >= used]
    if failed is not None:
        counts = larger_counts(counts, used, failed)
    for _ in range(TRIES):
        if not counts:
            return None
        used = counts[0]
        plans = list(planner.plans(target, {**changes, MICRO_BATCHES: used}))
        worst = max(plans, key=lambda plan: plan.peak - plan.capacity * plan.fits)
        if all(plan.fits for plan in plans):
            return max(plans, key=speed)
        counts = larger_counts(counts, used, worst)
    return None


def larger_counts(counts: list[int], used: int, failed: Plan) -> list[int]:
    """Numbers of micro-batches worth a try when `used` were too few: activations shrink with them,
    the state and the gradients (as large as the parameters) stay."""
    stays = sum(size for name, size in failed.memory.items() if name != "activations and gradients")
    stays += failed.memory["parameters"]
    room = failed.capacity - stays
    if room <= 0:
        return []
    needed = used * (failed.peak - stays) / room
    return [count for count in counts if count > used and count >= 0.9 * needed]


def micro_batches(planner: Planner, target: Target, changes: dict[str, Any]) -> list[int]:
    """Numbers of micro-batches that divide the batch as the engine and the mesh ask."""
    program = planner.program(target, {**changes, MICRO_BATCHES: 1})
    if program.task.contrasts_in_batch:
        return [1]
    train = planner.config.train
    parts = program.mesh.shape["data"] * program.mesh.shape["fsdp"]
    rows = math.gcd(*(program.rows(bucket) for bucket in program.buckets))
    return [
        count
        for count in range(1, rows // parts + 1)
        if rows % (count * parts) == 0
        and train.batch_size % count == 0
        and all(
            (train.batch_size // count) % groups == 0
            for groups in (train.draw_groups, train.norm_groups, train.loss_groups)
        )
    ]


def largest_part(planner: Planner, topology: Topology) -> Target:
    """`topology`, or the largest part of it over whose chips the recipe's batch divides.

    InputError, that of the whole, where it divides over no part.
    """
    refused: InputError | None = None
    part: Topology | None = topology
    while part is not None:
        target = Target(part, describe(part))
        try:
            planner.program(target, {})
            return target
        except InputError as error:
            refused = refused or error
            part = smaller(part)
    assert refused is not None
    raise refused


def scale_batch(config: ConfigDict, chips: int, first: int) -> dict[str, int]:
    """The batch, that of `first` chips, for `chips`."""
    return {"train.batch_size": config.train.batch_size * chips // first}


def setting(planner: Planner, changes: dict[str, Any], key: str) -> Any:
    """What `key` is after `changes`; None where the recipe has no such setting."""
    return changes.get(key, dict(leaves(planner.config.to_dict())).get(key))
