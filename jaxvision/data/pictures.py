"""Pictures as records: photographs that ship inside installed wheels, or a folder of one's own."""

import functools
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

from jaxvision.data.folders import files_below
from jaxvision.data.picture_files import SUFFIXES, read_picture
from jaxvision.data.source import FileRecords
from jaxvision.errors import InputError
from jaxvision.stores.stored_path import path_to

# {split: (package, file)}: nothing has to be downloaded.
BUILT_IN = {
    "train": (
        ("skimage", "data/astronaut.png"),
        ("skimage", "data/camera.png"),
        ("skimage", "data/chelsea.png"),
        ("skimage", "data/coins.png"),
        ("skimage", "data/gravel.png"),
        ("skimage", "data/hubble_deep_field.jpg"),
        ("skimage", "data/ihc.png"),
        ("skimage", "data/motorcycle_left.png"),
        ("skimage", "data/page.png"),
        ("skimage", "data/retina.jpg"),
        ("skimage", "data/rocket.jpg"),
        ("sklearn", "datasets/images/china.jpg"),
    ),
    "held_out": (
        ("skimage", "data/brick.png"),
        ("skimage", "data/coffee.png"),
        ("skimage", "data/grass.png"),
        ("sklearn", "datasets/images/flower.jpg"),
    ),
}

Pyramid = tuple[Image.Image, ...]


@dataclass(frozen=True)
class Pictures(FileRecords):
    """Picture files, each read as a pyramid: the picture, then halves, down to 32 pixels.

    Reading one that does not decode raises InputError.
    """

    paths: tuple[Path, ...]

    def __getitem__(self, index: int) -> Pyramid:
        return read_pyramid(self.paths[index])


def built_in(split: str) -> Pictures:
    """The photographs of `split` ("train" or "held_out") inside scikit-image and scikit-learn."""
    return Pictures(tuple(package_folder(p) / file for p, file in BUILT_IN[split]))


def package_folder(package: str) -> Path:
    """Where an installed package lies, without importing it."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise InputError(f"the built-in photographs need the package {package}: not installed")
    return Path(spec.origin).parent


def folder(root: str | Path) -> Pictures:
    """Every picture file under `root`, in order of name, hidden ones left out. InputError if there
    is none."""
    paths = files_below(path_to(root), SUFFIXES).files
    if not paths:
        raise InputError(f"{root}: no pictures there ({', '.join(SUFFIXES)})")
    return Pictures(paths)


@functools.lru_cache(maxsize=64)
def read_pyramid(path: Path) -> Pyramid:
    levels = [read_picture(path)]
    while min(levels[-1].size) >= 64:
        levels.append(levels[-1].reduce(2))
    return tuple(levels)
