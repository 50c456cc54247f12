"""The published segmentation recipes, as functions of what differs between them."""

from typing import NamedTuple

from ml_collections import ConfigDict

from jaxvision.methods.link.model import Network
from jaxvision.ops.voxel_aggregation import Form
from jaxvision.training.config import base_config


class DatasetRecipe(NamedTuple):
    """What a dataset decides. scans: the training size that the schedule uses.  gpus x per_gpu:
    processes and scans of each.  evaluation: capacities of a whole scan (voxels, points)."""

    name: str
    train: str | tuple
    test: str | tuple
    voxel_size: float
    scans: int
    epochs: int
    gpus: int
    per_gpu: int
    evaluation: tuple[int, int]


SEMANTIC_KITTI = DatasetRecipe(
    "semantic_kitti", "train", "val", 0.05, 19132, 25, 4, 2, (131072, 131072)
)
NUSCENES = DatasetRecipe("nuscenes", (), (), 0.15, 28130, 80, 4, 16, (36864, 36864))
MOST_TRAINING_VOXELS = 80000


def segmentation(
    dataset: DatasetRecipe,
    network: Network,
    form: Form = "cos_x",
    neighbours: int = 2,
    edge: int = 3,
    groups: int = 1,
) -> ConfigDict:
    """SGD with Nesterov momentum, half a cosine after a short warm-up, batch norm per process."""
    config = base_config()
    config.method = "link"
    config.seed = 1588147245
    config.model = ConfigDict(
        {
            "network": network,
            "width": 64,
            "form": form,
            "groups": groups,
            "edge": edge,
            "neighbours": neighbours,
            "level_share": (1.0, 0.75, 0.5, 0.25, 0.125),
            "block_share": 1.0,
        }
    )
    nuscenes = dataset.name == "nuscenes"
    config.task = ConfigDict(
        {
            "evaluation_batch": 1,
            "evaluation_voxels": dataset.evaluation[0],
            "evaluation_points": dataset.evaluation[1],
            "views": 1,
            # The published nuScenes code augments what it evaluates, so its scores vary by run.
            "augmented_views": nuscenes,
            "predict_ignored": not nuscenes,
        }
    )
    config.data.update(
        {
            "name": dataset.name,
            "root": "",
            "train": dataset.train,
            "test": dataset.test,
            "version": "v1.0-trainval" if nuscenes else "",
            "columns": 5 if nuscenes else 4,
            "classes": {},
            "ignored": (0,),
            "voxel_size": dataset.voxel_size,
            "voxels": MOST_TRAINING_VOXELS,
            "range": (),
            "augment": True,
            "sensor": {},
        }
    )
    batch = dataset.gpus * dataset.per_gpu
    config.train.batch_size = batch
    config.train.norm_groups = dataset.gpus
    config.train.steps = dataset.epochs * -(-dataset.scans // batch)
    config.optim.update({"name": "sgd", "momentum": 0.9, "nesterov": True})
    config.optim.learning_rate = ConfigDict(
        {"name": "half_cosine", "peak": 0.24, "warmup_steps": 1000 // dataset.gpus}
    )
    config.optim.weight_decay.value = 1e-4
    config.checkpoint.update({"best": "scans/miou_link", "every_steps": 1000})
    config.evaluate.every_steps = config.train.steps // dataset.epochs
    return config
