"""Every reader of data reads from an object store what it reads from a folder."""

import re

import numpy as np
import pytest

from fuzz.readers import READERS
from jaxvision.stores.stored_path import path_to

# Weights are fetched whole by their address, and a run's workdir is a folder of this machine.
ELSEWHERE = ("PyTorch checkpoint", ".safetensors", "converted weights", "checkpoints")


def said(value, folder):
    """What was read, without where."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    text = repr(value).replace(str(folder), "").replace("StoredPath(", "PosixPath(")
    return re.sub(r" at 0x\w+", "", text)


@pytest.mark.parametrize("name", [name for name in READERS if name not in ELSEWHERE])
def test_reads_the_same(name, put, tmp_path):
    make, read = READERS[name]
    here = tmp_path / "data"
    here.mkdir()
    make(here)
    expected = read(here)
    found = read(path_to(put(here)))
    assert type(found) is type(expected)
    assert said(found, "memory://bucket/data") == said(expected, here)
