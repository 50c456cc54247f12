"""Every protocol that CamLiFlow is judged by, by name; `task.benchmarks` says where its data are.

planes: made-up pairs never trained on, beside the error of no motion.
things: FlyingThings3D's validation, as prepared.  kitti: training40 with its true disparities.
sintel_clean, sintel_final: all pairs of Sintel's training scenes, flow of pixels.
kitti_scene_flow: training40 by the distributed disparities, as the benchmark's program counts.
things_noc, things_occ, kitti_noc, kitti_occ: clouds alone (`point_evaluation`).
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxvision.data import pictures
from jaxvision.data.scene_flow import flying_things, kitti, sintel
from jaxvision.data.scene_flow.flying_things import FlyingThings
from jaxvision.data.scene_flow.kitti import PADDED, KittiFrames
from jaxvision.data.scene_flow.sintel import Sintel
from jaxvision.data.source import Records, Source
from jaxvision.errors import InputError, check_choice
from jaxvision.methods.camliflow import kitti_evaluation, point_evaluation
from jaxvision.methods.camliflow.inputs import PairTransform, WithTruth, check_points, moving_planes
from jaxvision.methods.camliflow.model import FlowInputs, Prediction
from jaxvision.methods.camliflow.variants import PwcConfig, RaftConfig
from jaxvision.metrics.scene_flow import flow_2d_sums, flow_3d_sums
from jaxvision.stores.stored_path import path_to
from jaxvision.training.task import Batch, Evaluation, Variables

POINTS = 8192  # that every published protocol draws
HELD_OUT = 64  # made-up pairs
HELD_OUT_SEED = 1
Network = RaftConfig | PwcConfig
# (variables, inputs) -> the answer with running statistics.
Forward = Callable[[Variables, FlowInputs], Prediction]


class Protocol(NamedTuple):
    """Pairs with truth. records(root).  size: of the frames.  seed: of the drawn points."""

    records: Callable[[Path], Records]
    size: tuple[int, int]
    seed: int


def _kitti(root: Path) -> Records:
    return WithTruth(KittiFrames(root, "training40"))


def _sintel(passes: str, root: Path) -> Records:
    return Sintel(root, passes, POINTS)


PROTOCOLS = {
    "things": Protocol(lambda root: FlyingThings(root, "val"), (540, 960), flying_things.SEED),
    "kitti": Protocol(_kitti, PADDED, kitti.SEED),
    "sintel_clean": Protocol(partial(_sintel, "clean"), (436, 1024), sintel.SEED),
    "sintel_final": Protocol(partial(_sintel, "final"), (436, 1024), sintel.SEED),
}
OTHERS = ("kitti_scene_flow", *point_evaluation.PROTOCOLS)


def evaluations(config: ConfigDict, network: Network, forward: Forward) -> dict[str, Evaluation]:
    """One per protocol whose data are at hand. InputError for an unknown one, and one that needs a
    branch that the network lacks."""
    batch = config.task.evaluation_batch
    found: dict[str, Evaluation] = {}
    if config.data.name == "planes" and not config.data.root:
        size = (config.data.size[0], config.data.size[1])
        photographs = pictures.built_in("held_out")
        records = moving_planes(config.data, photographs, HELD_OUT, HELD_OUT_SEED)
        transform = transform_of(network, size, config.data.points, HELD_OUT_SEED)
        source = Source(records, batch, transform)
        found["planes"] = pair_evaluation(source, transform, network, forward, against_zero=True)
    for name, root in config.task.benchmarks.items():
        check_choice("unknown protocol of task.benchmarks", name, (*PROTOCOLS, *OTHERS))
        if not root:
            continue
        check_points(f"{name}, points", POINTS, network)
        if name in point_evaluation.PROTOCOLS:
            if network.images:
                raise InputError(
                    f"task.benchmarks.{name}: clouds alone, for networks without images"
                )
            found[name] = point_evaluation.evaluation(name, path_to(root), batch, forward)
        elif name == "kitti_scene_flow":
            if not (network.images and network.points):
                raise InputError(f"task.benchmarks.{name}: for networks of pixels and points")
            found[name] = kitti_evaluation.evaluation(path_to(root), batch, forward)
        else:
            chosen = PROTOCOLS[name]
            transform = transform_of(network, chosen.size, POINTS, chosen.seed)
            source = Source(chosen.records(path_to(root)), batch, transform)
            if name.startswith("sintel") and not network.images:
                raise InputError(f"task.benchmarks.{name}: has no true scene flow")
            only_2d = name.startswith("sintel")
            found[name] = pair_evaluation(source, transform, network, forward, only_2d=only_2d)
    return found


def transform_of(network: Network, size: tuple[int, int], points: int, seed: int) -> PairTransform:
    return PairTransform(
        images=network.images, points=network.points, count=points, size=size, seed=seed
    )


def inputs_of(batch: Batch) -> FlowInputs:
    """A batch's fields as a network takes them."""
    return FlowInputs(batch.get("images"), batch.get("clouds"), batch.get("camera"))


def measures(batch: Batch, flow_2d: Any, flow_3d: Any) -> dict[str, tuple[Any, Any]]:
    """Sums and counts of one pair, or of many; flows are None where there are none."""
    found: dict[str, tuple[Any, Any]] = {}
    if flow_2d is not None:
        truth = batch["flow_2d"]
        found |= flow_2d_sums(flow_2d, truth[..., :2], truth[..., 2] > 0)
    if flow_3d is not None:
        truth = batch["flow_3d"]
        valid = truth[..., 3] > 0
        found |= flow_3d_sums(flow_3d, truth[..., :3], valid)
        seen = flow_3d_sums(flow_3d, truth[..., :3], valid & ~batch["occluded"])
        found |= {f"{name}_noc": sums for name, sums in seen.items()}
    return found


def pair_evaluation(
    source: Source,
    transform: PairTransform,
    network: Network,
    forward: Forward,
    *,
    only_2d: bool = False,
    against_zero: bool = False,
) -> Evaluation:
    """Means over the pixels and points of all pairs. only_2d: the data have no true scene flow.
    against_zero: also the errors of no motion, `*_zero`."""

    def outputs(variables: Variables, batch: Batch, rng: Any) -> dict[str, Any]:
        answer = forward(variables, inputs_of(batch))
        flow_2d = answer.final_2d
        flow_3d = None if only_2d else answer.final_3d
        fields = {
            name: x for name, x in batch.items() if name in ("flow_2d", "flow_3d", "occluded")
        }

        def of_one(fields: Any, flows: Any) -> Any:
            found: dict[str, Any] = measures(fields, *flows)
            if against_zero:
                none = measures(fields, *jax.tree.map(jnp.zeros_like, flows))
                errors = {name: none[name] for name in ("epe2d", "epe3d") if name in none}
                found |= {f"{name}_zero": sums for name, sums in errors.items()}
            return found

        sums = jax.vmap(of_one)(fields, (flow_2d, flow_3d))
        return jax.tree.map(lambda x: x.astype(jnp.float32), sums)

    return Evaluation(
        source=source,
        batch_specs={"pairs": transform.specs(source.batch_size)},
        outputs=outputs,
        accumulate=by_record,
        finish=pooled,
    )


def by_record(total: Any, outputs: Mapping[str, Any], index: np.ndarray, bucket: str) -> Any:
    """{record: {measure: (sum, count)}}."""
    total = dict(total or {})
    for row, number in enumerate(index):
        total[int(number)] = {
            name: (float(sums[row]), float(counts[row])) for name, (sums, counts) in outputs.items()
        }
    return total


def pooled(total: Mapping[int, Mapping[str, Any]], variables: Any) -> dict[str, float]:
    """Means over all elements of all records; 0 where there are none."""
    rows = [total[number] for number in sorted(total)]
    sums = {name: np.sum([row[name] for row in rows], axis=0) for name in rows[0]}
    return {name: float(s / max(count, 1)) for name, (s, count) in sums.items()}
