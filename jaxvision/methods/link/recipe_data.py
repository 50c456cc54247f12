"""What segmentation and detection read alike of a recipe's `data`."""

from collections.abc import Collection
from pathlib import Path

from ml_collections import ConfigDict

from jaxvision.data.lidar.ray_casting import Sensor
from jaxvision.errors import InputError, check_choice, nearest
from jaxvision.stores.stored_path import path_to


def check_names(config: ConfigDict, split: str, datasets: Collection[str]) -> None:
    """InputError for an unknown split or `data.name`."""
    if split not in ("train", "test"):
        raise InputError(f"split {split!r}{nearest(split, ('train', 'test'))}")
    name = config.data.name
    check_choice("data.name", name, datasets)


def made_up_seed(config: ConfigDict, split: str) -> int:
    """The splits' seeds differ, so that no street is in both."""
    return 2 * config.seed + (split == "test")


def sensor_of(config: ConfigDict) -> Sensor:
    """The sensor of made-up scans."""
    return Sensor(**config.data.sensor.to_dict())


def root_of(config: ConfigDict) -> Path:
    """The dataset's folder. InputError where it is not named or not there."""
    data = config.data
    if not data.root:
        raise InputError(f"data.root is empty; expected the folder of {data.name}")
    root = path_to(data.root)
    if not root.is_dir():
        raise InputError(f"data.root {root}: no such folder")
    return root
