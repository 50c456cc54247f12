"""How segmentation is evaluated: every point of every scan, by the benchmark's and LinK's rules."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxvision.data.source import Source
from jaxvision.errors import InputError
from jaxvision.metrics import segmentation as metrics
from jaxvision.training.task import BatchSpecs, Evaluation, Variables


def point_confusion(
    predicted: Int[Array, "b p"], truth: Int[Array, "b p"], classes: int
) -> Int[Array, "b k columns"]:
    """Counts per scan, rows prediction, columns truth and, last, unknown truth.

    Padding carries the ignored class 0, whose column every rule drops.
    """
    column = jnp.where((truth >= 0) & (truth < classes), truth, classes)

    def one(row: Array, column: Array) -> Array:
        return jnp.zeros((classes, classes + 1), jnp.int32).at[row, column].add(1)

    return jax.vmap(one)(predicted, column)


def scan_evaluation(
    source: Source,
    specs: BatchSpecs,
    outputs: Callable[..., Mapping[str, Array]],
    names: Sequence[str],
    nuscenes: bool,
) -> Evaluation:
    """`miou` by the benchmark's rule, `miou_link` as LinK counts while training (both percent),
    `accuracy`, `iou_NAME` of each class, and `overflow`: voxels and points that found no room.

    nuscenes: the benchmark is nuScenes-lidarseg, else SemanticKITTI.
    """

    def accumulate(
        total: Any, answers: Mapping[str, np.ndarray], index: np.ndarray, bucket: str
    ) -> Any:
        confusion = answers["confusion"].astype(np.int64).sum(axis=0)
        lost = int(answers["overflow"].sum())
        return (confusion, lost) if total is None else (total[0] + confusion, total[1] + lost)

    def finish(total: Any, variables: Variables) -> dict[str, float]:
        confusion, lost = total
        # The benchmarks read an unknown label as the ignored class.
        known = confusion[:, :-1].copy()
        known[:, 0] += confusion[:, -1]
        if not known[:, 1:].any():
            raise InputError(
                f"{len(source.records)} scans: none of their labels counts (data.classes, "
                "data.ignored): there is nothing to evaluate"
            )
        link = metrics.link_iou(confusion)
        if nuscenes:
            result = metrics.nuscenes_iou(known)
            iou = np.nan_to_num(result["iou_per_class"])
        else:
            result = metrics.semantickitti_iou(known)
            iou = result["iou"]
        found = {"miou": 100 * result["miou"], "miou_link": 100 * link["miou"]}
        found["accuracy"] = 100 * link["oacc"]
        found |= {f"iou_{name}": 100 * iou[n] for n, name in enumerate(names) if n}
        return {name: float(value) for name, value in found.items()} | {"overflow": float(lost)}

    return Evaluation(
        source=source,
        batch_specs=specs,
        outputs=outputs,
        accumulate=accumulate,
        finish=finish,
    )
