"""LinK's published networks, of both tasks, as the converter and `jaxvision.load` see them."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from jaxvision.errors import InputError, nearest
from jaxvision.methods.link.detection import pretrained as detection
from jaxvision.methods.link.segmentation import pretrained as segmentation
from jaxvision.weights.official import OfficialModel

VARIANTS = segmentation.VARIANTS + detection.VARIANTS


def official_model(name: str, tensors: Iterable[str] = (), dtype: str = "float32") -> OfficialModel:
    """The published network called `name`: see `segmenter` and `detector`. InputError names the
    nearest one for an unknown name."""
    found = segmentation.segmenter(name, dtype) or detection.detector(name, dtype)
    if found is None:
        raise InputError(f"link/{name}: no such variant{nearest(name, VARIANTS)}")
    return found


def network_of(task: Any, name: str) -> OfficialModel:
    """The network that a demo's task of either kind trains, for `jaxvision.load`."""
    if task.config.task.name == "segmentation":
        return segmentation.segmenter_of(task, name)
    return detection.detector_of(task, name)


def published() -> list[dict[str, str]]:
    """The table of published weights, for people."""
    return segmentation.published() + detection.published()


def recognise(tensors: Mapping[str, np.ndarray]) -> OfficialModel | None:
    """The network that tensors of a file belong to, None where they are not LinK's."""
    name = segmentation.name_of(tensors) or detection.name_of(tensors)
    return official_model(name) if name else None
