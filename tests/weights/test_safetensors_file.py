"""The reader and writer of .safetensors files, against the format's own library."""

import json
import struct

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jaxvision.errors import InputError
from jaxvision.weights.safetensors_file import read_safetensors, write_safetensors

TENSORS = {
    "b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a": np.array(7, np.int64),
    "c": np.ones((3, 0), np.float16),
}


def test_the_library_reads_ours(tmp_path):
    write_safetensors(tmp_path / "ours.safetensors", TENSORS, {"format": "np"})
    read = load_file(tmp_path / "ours.safetensors")
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(read[name], array)


def test_ours_reads_the_library(tmp_path):
    save_file(TENSORS, tmp_path / "theirs.safetensors", {"format": "np"})
    read, metadata = read_safetensors(tmp_path / "theirs.safetensors")
    assert metadata == {"format": "np"}
    assert set(read) == set(TENSORS)
    for name, array in TENSORS.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


U8 = {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}


def file_with(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (b"{nonsense", "makes no sense"),
        ({"w": {"dtype": "F32"}}, "makes no sense"),
        ({"w": {"dtype": "Q4", "shape": [1], "data_offsets": [0, 4]}}, "dtype Q4"),
        ({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, "does not fill"),
        ({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, "cut short"),
        ({"v": U8, "w": U8}, "w begins at byte 0; expected 8"),
        ({"w": {"dtype": "U8", "shape": [4], "data_offsets": [4, 8]}}, "byte 4; expected 0"),
        ({"w": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}, "its tensors end at 4"),
        ({"w": {"dtype": "U8", "shape": [1] * 99, "data_offsets": [0, 1]}}, "99 dimensions"),
        ({"w": U8, "__metadata__": {"format": ["pt"]}}, "expected a text"),
        ({"w": {"dtype": "F32", "shape": [-1], "data_offsets": [4, 0]}}, "does not fill"),
    ],
)
def test_broken_files_are_refused(tmp_path, header, why):
    path = file_with(tmp_path / "broken.safetensors", header, b"\0" * 8)
    with pytest.raises(InputError, match=why) as raised:
        read_safetensors(path)
    assert str(path) in str(raised.value)


def test_short_files_are_refused(tmp_path):
    path = tmp_path / "short.safetensors"
    path.write_bytes(b"abc")
    with pytest.raises(InputError, match="3 bytes"):
        read_safetensors(path)
    path.write_bytes(struct.pack("<Q", 10**6) + b"{}")
    with pytest.raises(InputError, match="cut short"):
        read_safetensors(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_safetensors(tmp_path / "absent.safetensors")
