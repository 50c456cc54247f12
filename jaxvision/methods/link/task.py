"""LinK as the engine sees it: which task a recipe asks for."""

from ml_collections import ConfigDict

from jaxvision.methods.link.detection.task import DetectionTask
from jaxvision.methods.link.segmentation.task import SegmentationTask
from jaxvision.tasks.dispatch import make
from jaxvision.training.task import Task

TASKS: dict[str, type[Task]] = {"segmentation": SegmentationTask, "detection": DetectionTask}
RENAMED_KEYS = {
    "task.judged_within": "task.max_range_m",
    "task.loss_groups": "train.loss_groups",
}


def make_task(config: ConfigDict) -> Task:
    """Segmentation of LiDAR scans, or detection of boxes in them."""
    return make(TASKS, config, RENAMED_KEYS)
