"""The published segmentation recipes, as functions of what differs between them."""

from typing import NamedTuple

from ml_collections import ConfigDict

from jaxvision.methods.link.segmentation.network import Network
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
    name="semantic_kitti",
    train="train",
    test="val",
    voxel_size=0.05,
    scans=19132,
    epochs=25,
    gpus=4,
    per_gpu=2,
    evaluation=(131072, 131072),
)
NUSCENES = DatasetRecipe(
    name="nuscenes",
    train=(),
    test=(),
    voxel_size=0.15,
    scans=28130,
    epochs=80,
    gpus=4,
    per_gpu=16,
    evaluation=(36864, 36864),
)
MAX_TRAINING_VOXELS = 80000


def segmentation_base() -> ConfigDict:
    """Every setting of segmentation; a recipe says what differs."""
    config = base_config()
    config.method = "link"
    config.model = ConfigDict(
        {
            "network": "linkunet",
            "width": 64,
            "form": "cos_x",
            "groups": 1,
            "edge": 3,
            "neighbours": 2,
            "level_share": (1.0, 0.75, 0.5, 0.25, 0.125),
            "block_share": 1.0,
        }
    )
    config.task = ConfigDict(
        {
            "name": "segmentation",
            "evaluation_batch": 1,
            "evaluation_voxels": 0,
            "evaluation_points": 0,
            "views": 1,
            "augmented_views": False,
            "predict_ignored": True,
        }
    )
    config.data.update(
        {
            "name": "",
            "root": "",
            "train": (),
            "test": (),
            "version": "",
            "columns": 4,  # float32 values of a point in a .bin
            "intensity": 1.0,  # largest one expected; 0 = anything
            "drop_invalid": False,  # points that are NaN or infinite
            "classes": {},
            "ignored": (0,),
            "voxel_size": 0.05,
            "voxels": MAX_TRAINING_VOXELS,
            "range": (),  # x, y, z minima then maxima (m); empty: everything
            "augment": True,
            "sensor": {},
        }
    )
    return config


def segmentation(
    dataset: DatasetRecipe,
    network: Network,
    form: Form = "cos_x",
    *,
    neighbours: int = 2,
    edge: int = 3,
    groups: int = 1,
) -> ConfigDict:
    """SGD with Nesterov momentum, half a cosine after a short warm-up; batch norm and losses per
    process."""
    config = segmentation_base()
    config.seed = 1588147245
    config.model.update({"network": network, "form": form, "groups": groups})
    config.model.update({"edge": edge, "neighbours": neighbours})
    nuscenes = dataset.name == "nuscenes"
    config.task.update(
        {
            "evaluation_voxels": dataset.evaluation[0],
            "evaluation_points": dataset.evaluation[1],
            # The published nuScenes code augments what it evaluates, so its scores vary by run.
            "augmented_views": nuscenes,
            "predict_ignored": not nuscenes,
        }
    )
    config.data.update({"name": dataset.name, "voxel_size": dataset.voxel_size})
    with config.data.ignore_type():  # the name of a split, or a list of its parts
        config.data.update({"train": dataset.train, "test": dataset.test})
    if nuscenes:
        config.data.update({"version": "v1.0-trainval", "columns": 5, "intensity": 255.0})
    batch = dataset.gpus * dataset.per_gpu
    config.train.batch_size = batch
    config.train.norm_groups = dataset.gpus
    config.train.loss_groups = dataset.gpus
    config.train.steps = dataset.epochs * -(-dataset.scans // batch)
    config.optim.update({"name": "sgd", "momentum": 0.9, "nesterov": True})
    config.optim.learning_rate = ConfigDict(
        {"name": "half_cosine", "peak": 0.24, "warmup_steps": 1000 // dataset.gpus}
    )
    config.optim.weight_decay.value = 1e-4
    config.checkpoint.update({"best": "scans/miou_link", "every_steps": 1000})
    config.evaluate.every_steps = config.train.steps // dataset.epochs
    return config
