"""The reader and writer of `torch.save` files."""

import pickle
import zipfile
from pathlib import Path
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jaxvision.errors import InputError
from jaxvision.weights.checkpoint_file import read_checkpoint, write_checkpoint
from jaxvision.weights.pickle_machine import Opaque
from jaxvision.weights.torch_file import read_torch_file
from jaxvision.weights.torch_writer import write_torch_file

FILES = Path(__file__).parents[1] / "goldens" / "torch_files"


def expected() -> dict[str, np.ndarray]:
    with np.load(FILES / "expected.npz") as stored:
        return {name: stored[name] for name in stored.files}


def assert_expected(tensors: dict) -> None:
    want = expected()
    assert list(tensors) == list(want)
    for name, array in tensors.items():
        if name == "bf16":
            assert array.dtype == ml_dtypes.bfloat16
            array = array.astype(np.float32)
        assert array.dtype == want[name].dtype, name
        np.testing.assert_array_equal(array, want[name], err_msg=name)


@pytest.mark.parametrize("name", ["zip_state_dict.pth", "legacy_state_dict.pth"])
def test_every_tensor(name):
    assert_expected(read_torch_file(FILES / name))


def test_nested_file_keeps_the_rest():
    contents = read_torch_file(FILES / "zip_nested_with_namespace.pth")
    assert contents["args"] == SimpleNamespace(lr=0.001, name="x")
    assert contents["np_scalar"] == 0.5
    checkpoint = read_checkpoint(FILES / "zip_nested_with_namespace.pth")
    assert checkpoint.key == "model"
    assert list(checkpoint.rest) == ["optimizer", "epoch", "args", "np_scalar"]
    assert_expected(checkpoint.tensors)


def test_prefix_is_read_as_it_is_and_taken_off_by_the_checkpoint():
    raw = read_torch_file(FILES / "zip_module_prefix.pth")
    assert_expected({name.removeprefix("module."): array for name, array in raw.items()})
    assert all(name.startswith("module.") for name in raw)
    checkpoint = read_checkpoint(FILES / "zip_module_prefix.pth")
    assert checkpoint.prefix == "module."
    assert_expected(checkpoint.tensors)


def test_malicious_file_is_refused_and_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"malicious_os_system\.pth: refused.*posix\.system"):
        read_torch_file(FILES / "malicious_os_system.pth")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("truncated.pth", "cut short"),
        ("not_a_checkpoint.pth", "neither"),
        ("short_storage.pth", "storage 0 has 8 bytes"),
    ],
)
def test_broken_files_are_refused_in_one_line(name, why):
    with pytest.raises(InputError) as raised:
        read_torch_file(FILES / name)
    message = str(raised.value)
    assert name in message
    assert why in message
    assert "\n" not in message


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.answer = (function, arguments)

    def __reduce__(self):
        return self.answer


def zipped(path: Path, data: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3\n")
    return path


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
@pytest.mark.parametrize("function", [eval, exec, getattr, __import__, open])
def test_builtin_calls_are_refused_by_name(tmp_path, protocol, function):
    data = pickle.dumps({"a": Calls(function, "1")}, protocol)
    with pytest.raises(InputError, match=rf"refused.*\.{function.__name__}"):
        read_torch_file(zipped(tmp_path / "call.pth", data))


def test_calls_of_other_packages_are_refused_by_name(tmp_path):
    data = b"\x80\x02cevil.package\nrun\nX\x01\x00\x00\x00a\x85R."
    with pytest.raises(InputError, match=r"a call of evil\.package\.run"):
        read_torch_file(zipped(tmp_path / "call.pth", data))
    with pytest.raises(InputError, match="opcode EXT1"):
        read_torch_file(zipped(tmp_path / "ext.pth", b"\x80\x02\x82\x01."))


def test_object_of_an_unknown_class_is_data(tmp_path):
    data = b"\x80\x02cdeep.scaler\nLossScaler\n)\x81}X\x01\x00\x00\x00aK\x05sb."
    read = read_torch_file(zipped(tmp_path / "object.pth", data))
    assert read == Opaque("deep.scaler.LossScaler", (), {"a": 5})


class Settings(dict):
    """As an EasyDict: items, and the same as attributes."""

    def __init__(self, items):
        super().__init__(items)
        vars(self).update(items)


def test_a_dictionary_of_an_unknown_class_is_data(tmp_path):
    """The configuration that UMT's files of stage 2 hold beside the weights."""
    values = Settings({"lr": 1e-4, "model": Settings({"frames": 4})})
    for protocol in (2, 4):
        data = pickle.dumps({"config": values, "epoch": 9}, protocol)
        data = data.replace(__name__.encode(), b"x" * len(__name__))
        read = read_torch_file(zipped(tmp_path / "settings.pth", data))
        assert read["epoch"] == 9
        inner = read["config"].state
        assert inner["lr"] == 1e-4
        assert inner["model"].state == {"frames": 4}


def test_numpy_arrays_inside(tmp_path):
    values = {"big": np.arange(6, dtype=">i4").reshape(2, 3), "f": np.asfortranarray(np.eye(3))}
    for protocol in (2, 4):
        read = read_torch_file(zipped(tmp_path / "numpy.pth", pickle.dumps(values, protocol)))
        for name, array in values.items():
            np.testing.assert_array_equal(read[name], array)


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
@example(position=4577, bit=7)  # in the directory: a name that is no text
@settings(max_examples=150, deadline=None)
def test_a_flipped_bit_never_escapes_as_another_error(tmp_path_factory, position, bit):
    data = bytearray((FILES / "zip_state_dict.pth").read_bytes())
    data[position % len(data)] ^= 1 << bit
    path = tmp_path_factory.mktemp("flip") / "flipped.pth"
    path.write_bytes(data)
    try:
        read = read_torch_file(path)
    except InputError as refusal:
        message = str(refusal)
    else:
        # What is still read is right: the bit lay in padding or in a field that does not count.
        assert_expected(read)
        return
    assert "flipped.pth" in message
    assert "\n" not in message


DTYPES = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.int64, np.int32, np.int16]
DTYPES += [np.int8, np.uint8, np.bool_, np.complex64, np.uint16, ml_dtypes.float8_e4m3fn]


def sample() -> dict[str, np.ndarray]:
    tensors = {str(np.dtype(d)): np.arange(6).reshape(2, 3).astype(d) for d in DTYPES}
    return tensors | {
        "scalar": np.float32(3).reshape(()),
        "empty": np.zeros((0, 4), np.float32),
        "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "one": np.ones((1, 1, 5), np.float32),
    }


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(("key", "prefix"), [(None, ""), ("model", "module.")])
def test_written_files_come_back_whole(tmp_path, suffix, key, prefix):
    path = tmp_path / f"written{suffix}"
    write_checkpoint(path, sample(), key, prefix)
    read = read_checkpoint(path)
    assert read.prefix == prefix
    assert read.key == (key if suffix == ".pth" else None)
    assert list(read.tensors) == list(sample())
    for name, array in sample().items():
        got = read.tensors[name]
        assert (got.dtype, got.shape) == (array.dtype, array.shape), name
        assert got.tobytes() == array.tobytes(), name
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_other_values_come_back(tmp_path):
    contents = {
        "epoch": 2**40,
        "negative": -5,
        "lr": 1e-3,
        "flags": [True, False, None],
        "betas": (0.9, 0.95),
        "args": SimpleNamespace(name="å", deep={"a": [1]}),
    }
    write_torch_file(tmp_path / "other.pth", contents)
    assert read_torch_file(tmp_path / "other.pth") == contents
    with pytest.raises(InputError, match="object cannot be written"):
        write_torch_file(tmp_path / "no.pth", {"a": object()})


def test_pytorch_reads_what_is_written(tmp_path):
    torch = pytest.importorskip("torch")
    write_torch_file(tmp_path / "ours.pth", {"model": sample(), "epoch": 3})
    loaded = torch.load(tmp_path / "ours.pth", weights_only=True)
    assert loaded["epoch"] == 3
    for name, value in sample().items():
        read = loaded["model"][name]
        if not isinstance(value, np.ndarray):
            assert read == value
            continue
        assert tuple(read.shape) == value.shape
        # NumPy has no bfloat16 or float8 of its own; float32 holds each of their values.
        own = value.dtype.kind != "V" and value.dtype != ml_dtypes.bfloat16
        exact = (read if own else read.float()).numpy()
        np.testing.assert_array_equal(exact, value.astype(exact.dtype))


def test_a_picture_is_called_no_checkpoint(tmp_path):
    file = tmp_path / "a.pth"
    for start in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"<html>"):
        file.write_bytes(start + bytes(64))
        with pytest.raises(InputError, match=r"a\.pth: damaged or no PyTorch checkpoint"):
            read_torch_file(file)
