"""Test sets of clouds alone, for networks without images: accuracies of points by HPLFlowNet's and
FlowNet3D's protocols, with clouds brought to the statistics that the network was trained on."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxvision.data.scene_flow import flying_things
from jaxvision.data.scene_flow.geometry import Camera
from jaxvision.data.scene_flow.kitti import read_camera
from jaxvision.data.scene_flow.point_sets import Corresponding, Hidden, PointPair, draw_pair
from jaxvision.data.source import Source
from jaxvision.errors import InputError
from jaxvision.methods.camliflow.model import DomainShift, FlowInputs
from jaxvision.metrics.scene_flow import lidar_sums
from jaxvision.training.task import Batch, Evaluation, Variables

POINTS = 8192
KITTI_SEED = 1
THINGS_SEED = 0  # the authors' evaluation draws anew each time
# Mean and deviation after inverse depth scaling: of FlyingThings3D, and of KITTI's two sets.
TARGET = (0.079332, 1.8988, 91.909), (8.0472, 4.1851, 13.6923)
SOURCES = {
    "kitti_noc": ((1.9823, -4.0814, 87.4855), (11.1490, 1.3005, 10.9335)),
    "kitti_occ": ((3.8450, -3.6596, 86.1627), (10.1774, 1.2327, 13.5970)),
}
CALIBRATIONS = "calib_cam_to_cam"
NAMES = ("epe3d", "acc_strict", "acc_relax", "outlier")


class Protocol(NamedTuple):
    """per_frame: means of the frames' means, else over all points."""

    reader: Callable[..., Any]
    of_kitti: bool
    per_frame: bool


PROTOCOLS = {
    "things_noc": Protocol(Corresponding, of_kitti=False, per_frame=False),
    "things_occ": Protocol(Hidden, of_kitti=False, per_frame=True),
    "kitti_noc": Protocol(Corresponding, of_kitti=True, per_frame=True),
    "kitti_occ": Protocol(Hidden, of_kitti=True, per_frame=True),
}


def cameras_of(root: Path, of_kitti: bool) -> tuple[Camera, ...]:
    """FlyingThings3D's; of KITTI those of ROOT/calib_cam_to_cam/*.txt in order, which records take
    by their place in the list, as published. InputError where there are none, or one is no
    camera."""
    if not of_kitti:
        return (flying_things.CAMERA,)
    files = sorted((root / CALIBRATIONS).glob("*.txt"))
    if not files:
        raise InputError(
            f"{root / CALIBRATIONS}: no calibrations, expected files such as 000000.txt"
        )
    return tuple(read_camera(file) for file in files)


def evaluation(name: str, root: Path, batch: int, forward: Callable[..., Any]) -> Evaluation:
    """`epe3d`, `acc_strict`, `acc_relax` and `outlier` of a protocol of PROTOCOLS."""
    chosen = PROTOCOLS[name]
    seed = KITTI_SEED if chosen.of_kitti else THINGS_SEED

    def transform(pair: PointPair, rng: np.random.Generator, bucket: str) -> dict[str, Any]:
        drawn = draw_pair(pair, POINTS, np.random.RandomState(seed))
        return {
            "clouds": np.stack(drawn.clouds),
            "camera": np.asarray(drawn.camera, np.float32),
            "flow_3d": drawn.flow,
            "counted": drawn.counted,
        }

    shapes: Mapping[str, tuple[tuple[int, ...], Any]] = {
        "clouds": ((2, POINTS, 3), jnp.float32),
        "camera": ((3,), jnp.float32),
        "flow_3d": ((POINTS, 3), jnp.float32),
        "counted": ((POINTS,), jnp.bool_),
    }

    def outputs(variables: Variables, batch: Batch, rng: Any) -> dict[str, Any]:
        shift = shift_of(name, len(batch["camera"]))
        given = FlowInputs(None, batch["clouds"], batch["camera"], shift)
        flow = forward(variables, given).final_3d
        sums = jax.vmap(lidar_sums)(flow, batch["flow_3d"], batch["counted"])
        return jax.tree.map(lambda x: x.astype(jnp.float32), sums)

    def accumulate(total: Any, outputs: Mapping[str, Any], index: np.ndarray, bucket: str) -> Any:
        total = dict(total or {})
        for row, number in enumerate(index):
            total[int(number)] = [[float(part[row]) for part in outputs[name]] for name in NAMES]
        return total

    def finish(total: Any, variables: Any) -> dict[str, float]:
        rows = np.asarray([total[number] for number in sorted(total)])  # [records, measures, 2]
        if chosen.per_frame:
            means = np.mean(rows[..., 0] / np.maximum(rows[..., 1], 1), axis=0)
        else:
            means = rows[..., 0].sum(axis=0) / np.maximum(rows[..., 1].sum(axis=0), 1)
        return dict(zip(NAMES, map(float, means), strict=True))

    reader = chosen.reader(
        root=root, cameras=cameras_of(root, chosen.of_kitti), of_kitti=chosen.of_kitti
    )
    return Evaluation(
        source=Source(reader, batch, transform),
        batch_specs={
            "pairs": {
                field: jax.ShapeDtypeStruct((batch, *shape), dtype)
                for field, (shape, dtype) in shapes.items()
            }
        },
        outputs=outputs,
        accumulate=accumulate,
        finish=finish,
    )


def shift_of(name: str, samples: int) -> DomainShift | None:
    """From a KITTI set to FlyingThings3D; None for the latter's own sets."""
    if name not in SOURCES:
        return None
    rows = (*SOURCES[name], *TARGET)
    return DomainShift(*(jnp.broadcast_to(jnp.asarray(row), (samples, 3)) for row in rows))
