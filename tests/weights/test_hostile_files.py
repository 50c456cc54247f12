"""Small files made to run code, or to exhaust who reads them: each is refused in one short line."""

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from jaxvision.data.arrays import read_arrays, read_pickle
from jaxvision.errors import InputError
from jaxvision.weights.checkpoint_file import read_checkpoint
from jaxvision.weights.pickle_machine import Known
from jaxvision.weights.plain_names import PLAIN_NAMES
from jaxvision.weights.safetensors_file import read_safetensors
from jaxvision.weights.torch_file import read_torch_file
from jaxvision.weights.torch_names import NAMES

START, END = b"\x80\x02", b"."
LIST, TUPLE, MARK, NONE, DUP, APPEND, SETITEM = b"]", b")", b"(", b"N", b"2", b"a", b"s"
PUT_0, GET_0, REDUCE, BUILD = b"q\0", b"h\0", b"R", b"b"


def call(name: bytes, *arguments: bytes) -> bytes:
    """A call of "module name" with arguments that are opcodes themselves."""
    module, function = name.split(b" ")
    return b"c" + module + b"\n" + function + b"\n(" + b"".join(arguments) + b"t" + REDUCE


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def integer(value: int) -> bytes:
    data = pickle.encode_long(value)
    return b"\x8a" + bytes([len(data)]) + data


def raw(data: bytes) -> bytes:
    return b"T" + struct.pack("<I", len(data)) + data


def dtype(code: str) -> bytes:
    state = b"(K\x03" + text("|") + NONE * 3 + b"J\xff\xff\xff\xff" * 2 + b"K\x3ft" + BUILD
    return call(b"numpy dtype", text(code), b"K\0", b"K\1") + state


def array(shape: bytes, code: str, data: bytes) -> bytes:
    """An array as Python 2 pickled it."""
    made = call(b"numpy.core.multiarray _reconstruct", b"cnumpy\nndarray\n", b"K\0\x85", text("b"))
    return made + b"(K\1" + shape + dtype(code) + b"\x89" + data + b"t" + BUILD


# Nested twice as deep each time: hashing or printing it takes 2**26 steps.
BOMB = NONE + (DUP + b"\x86") * 26
LONG_LIST = LIST + PUT_0 + MARK + b"K\1" * 50_000 + b"e"
LONG_DICT = b"}" + PUT_0 + MARK + b"".join(integer(n) + NONE for n in range(20_000)) + b"u"
# Python takes whole numbers modulo 2**61 - 1: 72 different pairs with one hash.
PAIRS = [integer(a * (2**61 - 1)) + integer(b * (2**61 - 1)) + b"\x86" for a, b in np.ndindex(9, 8)]
LONG_TEXT = text("x" * 200_000) + PUT_0

HOSTILE = {
    "call of a class": (call(b"numpy ndarray", TUPLE, text("O"), raw(b"\1" * 8)), "a call of"),
    "array of objects at addresses": (array(TUPLE, "O", raw(b"\1" * 8)), "without its objects"),
    "call of a library": (call(b"os system", text("touch ran")), "os.system"),
    "call of a builtin": (call(b"builtins eval", text("1")), "builtins.eval"),
    "call of a value": (b"}(K\1t" + REDUCE, "a call of dict"),
    "hash bomb": (b"}" + BOMB + NONE + SETITEM, "a key"),
    "bomb in a set": (b"\x8f" + MARK + BOMB + b"\x90", "a key"),
    "bomb in a frozen set": (MARK + BOMB + b"\x91", "a key"),
    "bomb as members of a set": (call(b"builtins set", LIST + BOMB + APPEND), "a key"),
    "bomb as a dictionary's pair": (
        call(b"collections OrderedDict", LIST + BOMB + NONE + b"\x86" + APPEND),
        "a key",
    ),
    "bomb as a name": (BOMB + BOMB + b"\x93", "a name that is no text"),
    "keys of one hash": (
        b"}" + MARK + b"".join(pair + NONE for pair in PAIRS) + b"u",
        "keys with one hash",
    ),
    "keys of one hash, one after the other": (
        b"}" + b"".join(pair + NONE + SETITEM for pair in PAIRS),
        "keys with one hash",
    ),
    "members of one hash": (
        b"\x8f" + b"".join(MARK + pair + b"\x90" for pair in PAIRS),
        "keys with one hash",
    ),
    "members of a frozen set of one hash": (
        MARK + b"".join(PAIRS) + b"\x91",
        "keys with one hash",
    ),
    "members of one hash in a call": (
        call(b"builtins set", LIST + MARK + b"".join(PAIRS) + b"e"),
        "keys with one hash",
    ),
    "long name": (text("m" * 10**6) + text("n") + b"\x93", "a name of 1000001"),
    "deep key": (b"}" + NONE + b"\x85" * 100_000 + NONE + SETITEM, "a key"),
    "deep list": (LIST * 100_000 + APPEND * 99_999, "containers in one another"),
    "deep objects": (
        b"cdeep.er\nObject\n"
        + PUT_0
        + b"0"
        + (GET_0 + TUPLE + b"\x81") * 2000
        # Each is the state of the one before.
        + BUILD * 1999,
        "containers in one another",
    ),
    "list in itself": (LIST + PUT_0 + GET_0 + APPEND, "holds itself"),
    "size as an argument": (call(b"builtins bytearray", integer(2**32)), "without bytes"),
    "one list copied again and again": (
        LONG_LIST + MARK + (call(b"builtins set", GET_0)) * 8000 + b"t\x86",
        "more work",
    ),
    "one text encoded again and again": (
        LONG_TEXT + MARK + call(b"_codecs encode", GET_0) * 8000 + b"t\x86",
        "more work",
    ),
    "one dictionary copied again and again": (
        LONG_DICT + MARK + call(b"collections OrderedDict", GET_0) * 8000 + b"t\x86",
        "more work",
    ),
    "huge shape": (array(integer(2**33) + b"\x85", "f4", raw(b"\0" * 8)), "8 bytes for an array"),
    "negative shape": (array(integer(-1) + b"\x85", "f4", raw(b"\0" * 8)), "a shape"),
    "many axes": (array(MARK + b"K\1" * 100 + b"t", "f4", raw(b"\0" * 4)), "a shape"),
    "type without a size": (array(integer(2**40) + b"\x85", "S0", raw(b"")), "values of type"),
    "compound type": (dtype("(1000000,)f4,f4"), "dtype"),
    "type of many bytes": (dtype("S999999999"), "dtype"),
    "object without its state": (
        call(b"numpy.core.multiarray _reconstruct", b"cnumpy\nndarray\n"),
        "without its state",
    ),
    "bracket as a value": (MARK, "without its state"),
    "registered extension": (b"\x82\x01", "EXT1"),
    "number of many digits": (b"I" + b"9" * 10**6 + b"\n", "byte"),
}


def zipped(path: Path, records: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in records.items():
            archive.writestr(name, data)
    return path


def npy(descr: str, shape: tuple, data: bytes = b"") -> bytes:
    stream = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + data


def refused(read, path: Path, why: str) -> None:
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert why in message, message
    assert path.name in message
    assert len(message) < 600
    assert message.isprintable()
    assert not (path.parent / "ran").exists()


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_pickle_is_refused_by_every_reader(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    opcodes, why = HOSTILE[kind]
    data = START + opcodes + END
    refused(read_torch_file, zipped(tmp_path / "zip.pth", {"a/data.pkl": data}), why)
    if kind == "deep objects":  # of a class that plain data may not have
        why = "deep.er.Object"
    (tmp_path / "plain.pkl").write_bytes(data)
    refused(read_pickle, tmp_path / "plain.pkl", why)
    (tmp_path / "table.npy").write_bytes(npy("|O", (), data))
    refused(read_arrays, tmp_path / "table.npy", why)


def test_the_tables_of_names_hold_functions_of_ours_alone():
    for known in (*PLAIN_NAMES.values(), *NAMES.values()):
        assert isinstance(known, Known)
        if known.make is not None:
            assert not isinstance(known.make, type), known.name
            assert known.make.__module__.startswith("jaxvision."), known.name


def test_harmless_pickles_of_the_same_shapes_are_read(tmp_path):
    """The opcodes above are right: it is what they ask for that is refused."""
    good = b"}" + text("a") + array(b"K\2\x85", "f4", raw(np.float32([1, 2]).tobytes())) + SETITEM
    (tmp_path / "good.pkl").write_bytes(START + good + END)
    np.testing.assert_array_equal(read_pickle(tmp_path / "good.pkl")["a"], [1, 2])
    many = {(n, n % 7): n for n in range(5000)}
    (tmp_path / "many.pkl").write_bytes(pickle.dumps(many))
    assert read_pickle(tmp_path / "many.pkl") == many
    objects = array(b"K\2\x85", "O", LIST + NONE + APPEND + text("b") + APPEND)
    data = START + b"}" + text("a") + objects + SETITEM + END
    (tmp_path / "objects.pkl").write_bytes(data)
    assert read_pickle(tmp_path / "objects.pkl")["a"].state == [None, "b"]


STORAGE = (
    MARK + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"%s" + b"tQ"
)


def tensor(offset: bytes, shape: bytes, strides: bytes, count: bytes = b"K\4") -> bytes:
    storage = STORAGE % count
    arguments = (storage, offset, shape, strides, b"\x89", call(b"collections OrderedDict"))
    return START + b"}" + text("w") + call(b"torch._utils _rebuild_tensor_v2", *arguments) + b"s."


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (tensor(b"K\0", b"K\5\x85", b"K\1\x85"), "needs 5 values"),
        (tensor(integer(-4), b"K\4\x85", b"K\1\x85"), "sizes"),
        (tensor(b"K\0", integer(2**40) + b"\x85", b"K\0\x85"), "needs 1 values"),
        (tensor(b"K\0", b"K\2\x85", integer(-1) + b"\x85"), "sizes"),
        (tensor(b"K\0", MARK + b"K\1" * 99 + b"t", MARK + b"K\1" * 99 + b"t"), "a shape"),
        (tensor(b"K\0", b"K\4\x85", b"K\1\x85", integer(2**33)), "storage 0 has 16 bytes"),
        (tensor(b"K\0", b"K\4\x85", b"K\1\x85", b"G\x7f\xf0" + b"\0" * 6), "key or size"),
        (START + BOMB + b"Q.", "persistent id"),
        (START + text("x" * 10**6) + b"Q.", "persistent id"),
    ],
)
def test_tensors_stay_inside_their_storage(tmp_path, data, why):
    path = tmp_path / "tensor.pth"
    refused(read_torch_file, zipped(path, {"a/data.pkl": data, "a/data/0": b"\0" * 16}), why)


def test_a_tensor_may_repeat_values(tmp_path):
    data = tensor(b"K\0", b"K\3K\4\x86", b"K\0K\1\x86")
    path = zipped(tmp_path / "t.pth", {"a/data.pkl": data, "a/data/0": np.arange(4.0, dtype="f4")})
    np.testing.assert_array_equal(read_torch_file(path)["w"], [[0, 1, 2, 3]] * 3)


def test_zip_records_that_share_their_bytes_are_refused(tmp_path):
    """Thousands of entries that all point at one record: each would be read and checked."""
    path = zipped(tmp_path / "overlap.pth", {"a/data.pkl": START + b"}.", "a/data/0": b"\0" * 4000})
    with zipfile.ZipFile(path, "a") as archive:
        first = archive.getinfo("a/data/0")
        for number in range(1, 50):
            copy = zipfile.ZipInfo(f"a/data/{number}")
            for name in ("header_offset", "file_size", "compress_size", "CRC"):
                setattr(copy, name, getattr(first, name))
            archive.filelist.append(copy)
        archive._didModify = True
    refused(read_torch_file, path, "larger than the file")


def test_legacy_storages_are_not_larger_than_the_file(tmp_path):
    head = b"".join(pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, {}))
    for count in (integer(2**33), b"K\4" * 0 + integer(600)):
        path = tmp_path / "legacy.pth"
        path.write_bytes(head + tensor(b"K\0", b"K\4\x85", b"K\1\x85", count) + b"\x80\x02].")
        refused(read_torch_file, path, "larger than the file")


def test_two_records_or_arrays_of_one_name_are_refused(tmp_path):
    """Which of them counts would be the reader's guess."""
    value = START + b"}" + text("w") + NONE + SETITEM + END
    for name, read, why in (
        ("a/data.pkl", read_torch_file, "two records of one name"),
        ("w.npy", read_arrays, "two arrays of one name"),
    ):
        path = tmp_path / name.replace("/", "_")
        data = value if name.endswith("pkl") else npy("<f4", (1,), b"\0" * 4)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, data)
            with pytest.warns(UserWarning, match="Duplicate"):
                archive.writestr(name, data)
        refused(read, path, why)


@pytest.mark.parametrize("compressed", [True, False])
def test_an_archive_that_expands_out_of_all_proportion_is_refused(tmp_path, compressed):
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    path = zipped(tmp_path / "bomb.npz", {"a.npy": b"\0" * (80 << 20 if compressed else 8)}, method)
    if not compressed:  # an entry that says so
        data = path.read_bytes().replace(struct.pack("<II", 8, 8), struct.pack("<II", 8, 2**32 - 2))
        path.write_bytes(data)
    refused(read_arrays, path, "expands to")


@pytest.mark.parametrize(
    ("descr", "shape", "data", "why"),
    [
        ("<f4", (2**33,), b"\0" * 8, "8 bytes for an array"),
        ("<f4", (2**62, 2**62), b"", "a shape"),
        ("|V0", (2**40,), b"", "values of type"),
        ("<f4", (2, 3), b"\0" * 20, "20 bytes for an array"),
    ],
)
def test_array_headers_are_checked_against_the_file(tmp_path, descr, shape, data, why):
    content = npy(descr, shape, data)
    (tmp_path / "plain.npy").write_bytes(content)
    refused(read_arrays, tmp_path / "plain.npy", why)
    refused(read_arrays, zipped(tmp_path / "archive.npz", {"a.npy": content}), why)


@pytest.mark.parametrize(
    "header", [b"(" * 5000, b"-" * 5000 + b"1", b"{'descr': '<f4'", b"\xff" * 9]
)
def test_array_headers_that_are_none(tmp_path, header):
    path = tmp_path / "broken.npy"
    path.write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header)
    refused(read_arrays, path, "cannot be read as arrays")


def safetensors(path: Path, header: bytes, data: bytes = b"") -> Path:
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


@pytest.mark.parametrize("header", [b"{}", b'{"__metadata__": {"format": "pt"}}'])
def test_safetensors_without_tensors(tmp_path, header):
    """All of no names begin with every prefix."""
    refused(read_checkpoint, safetensors(tmp_path / "none.safetensors", header), "no tensors")


def entry(**changes) -> bytes:
    return json.dumps(
        {"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} | changes}
    ).encode()


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 100_000,
        b"[]",
        b"[1]",
        entry(dtype=["F32"]),
        entry(dtype="x" * 10**6),
        entry(shape="1"),
        entry(shape=[1] * 10**5),
        entry(shape=[0, 2**62, 2**62, 2**62], data_offsets=[0, 0]),
        entry(shape=[10**400] * 8),
        entry(data_offsets=[0] * 10**5),
        entry(data_offsets=["0", "4"]),
        entry(data_offsets=[4, 0]),
        entry(data_offsets=[2**70, 2**70 + 4]),
        b'{"\\u0007\\ud800": {"dtype": "?", "shape": [1], "data_offsets": [0, 4]}}',
    ],
    ids=range(14),
)
def test_safetensors_headers(tmp_path, header):
    path = safetensors(tmp_path / "broken.safetensors", header, b"\0" * 8)
    with pytest.raises(InputError) as caught:
        read_safetensors(path)
    message = str(caught.value)
    assert "broken.safetensors" in message
    assert message.isprintable()
    assert len(message) < 2200


def test_a_name_of_many_prefixes_is_taken_apart_a_few_times(tmp_path):
    name = "module." * 200_000 + "w"
    header = {name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    path = safetensors(tmp_path / "p.safetensors", json.dumps(header).encode(), b"\0" * 4)
    assert read_checkpoint(path).prefix == "module." * 4


def test_caffe2_weights_are_read(tmp_path):
    """As Python 2 pickled them: arrays as text, under `blobs`."""
    conv = np.arange(6, dtype=np.float32).reshape(2, 3)
    blobs = b"}" + raw(b"conv1_w") + array(b"K\2K\3\x86", "f4", raw(conv.tobytes())) + SETITEM
    (tmp_path / "net.pkl").write_bytes(START + b"}" + raw(b"blobs") + blobs + SETITEM + END)
    checkpoint = read_checkpoint(tmp_path / "net.pkl")
    assert checkpoint.key == "blobs"
    np.testing.assert_array_equal(checkpoint.tensors["conv1_w"], conv)


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_every_protocol(tmp_path, protocol):
    want = {"a": np.arange(6.0).reshape(2, 3), "n": np.int64(5), "t": ("x", [1, None], {2, 3})}
    path = tmp_path / "plain.pkl"
    path.write_bytes(pickle.dumps(want, protocol))
    read = read_pickle(path)
    np.testing.assert_array_equal(read["a"], want["a"])
    assert (read["n"], read["t"]) == (5, want["t"])
