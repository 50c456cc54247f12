"""Golden runners of LinK's data: class tables, voxelisation, the count while training."""

import numpy as np

from golden_case import Case, runner
from jaxvision.data.lidar.classes import NUSCENES, SEMANTIC_KITTI
from jaxvision.data.lidar.semantic_kitti import semantic_ids
from jaxvision.data.lidar.voxels import Placement, voxelise
from jaxvision.metrics.segmentation import confusion_matrix, link_iou

DATASETS = "segmentation/core/datasets"


@runner(
    "link",
    f"{DATASETS}/semantic_kitti.py:learning_mapping; segmentation/test.py:saveBinLabel",
    fixed={"num_ids": 260, "unmapped": 255},
)
def kitti_classes(case: Case) -> dict:
    return {
        "train_ids": SEMANTIC_KITTI.train_ids(case.input("raw_ids")),
        "submission_ids": SEMANTIC_KITTI.written_ids(np.arange(len(SEMANTIC_KITTI))),
    }


@runner("link", f"{DATASETS}/nuscenes.py:learning_mapping")
def nuscenes_classes(case: Case) -> dict:
    assert len(NUSCENES) == case.config["classes"]
    return {"train_ids": NUSCENES.train_ids(case.input("raw_ids"), "ignored")}


@runner(
    "link",
    f"{DATASETS}/semantic_kitti.py:SemanticKITTIInternal.get_single_sample "
    "(+ torchsparse/utils/quantize.py:sparse_quantize)",
)
def quantisation(case: Case) -> dict:
    points = case.input("points")
    labels = SEMANTIC_KITTI.train_ids(semantic_ids(case.input("raw_labels")))
    augment = case.config["augment"]
    if augment is not None:
        points = Placement(augment["theta"], augment["scale"], augment["flip_type"]).apply(points)
    voxels = voxelise(points, case.config["voxel_size"])
    return {
        "coords": voxels.coords,
        "feats": points[voxels.first_point],
        "voxel_labels": labels[voxels.first_point],
        "inverse_map": voxels.voxel_of_point,
        "point_labels": labels,
    }


@runner("link", "segmentation/core/callbacks.py:MeanIoU")
def mean_iou(case: Case) -> dict:
    classes = case.config["num_classes"]
    steps = sum(name.startswith("pred") for name in case.input_names())
    total = sum(
        confusion_matrix(case.input(f"pred{n}"), case.input(f"target{n}"), classes, unknown=True)
        for n in range(steps)
    )
    return link_iou(total, case.config["ignore_label"])
