"""Official file -> our folder -> official file, byte for byte, for any published network:

    python tests/round_trip.py videomae/vit_l_pretrain videomae/vit_h_k400 videomae/vit_g_k710

The tests run it on small ones; VideoMAE ViT-g needs about 15 GB of disk and 10 GB of memory.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxvision.networks import official_model
from jaxvision.weights import convert
from jaxvision.weights.checkpoint_file import read_checkpoint, write_checkpoint
from jaxvision.weights.official import OfficialModel


def official_tensors(network: OfficialModel, dtype: str = "float32") -> dict[str, np.ndarray]:
    """Different values everywhere."""
    rng = np.random.default_rng(0)
    return {
        entry.name: rng.standard_normal(entry.shape, np.float32).astype(dtype)
        for entry in network.entries
    }


def assert_same(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """The file holds these tensors: names, order, dtypes, shapes, bytes."""
    read = read_checkpoint(path).tensors
    assert list(read) == list(tensors)
    for name, array in tensors.items():
        assert (read[name].dtype, read[name].shape) == (array.dtype, array.shape), name
        np.testing.assert_array_equal(
            np.ascontiguousarray(read[name]).view(np.uint8),
            np.ascontiguousarray(array).view(np.uint8),
            err_msg=name,
        )


def round_trip(name: str, folder: Path) -> int:
    """Bytes of the weights that went in and came back. AssertionError names what differs."""
    network = official_model(name)
    tensors = official_tensors(network)
    write_checkpoint(folder / "official.pth", tensors, "model")
    convert.save(folder / "ours", convert.from_file(folder / "official.pth", network))
    convert.to_file(folder / "back.pth", convert.load(folder / "ours"), network)
    assert_same(folder / "back.pth", tensors)
    return sum(array.nbytes for array in tensors.values())


def main(names: list[str]) -> Iterator[str]:
    for name in names:
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            size = round_trip(name, Path(folder))
        yield f"{name}: {size / 1e9:.2f} GB the same, {time.monotonic() - start:.0f} s"


if __name__ == "__main__":
    for line in main(sys.argv[1:]):
        print(line, flush=True)
