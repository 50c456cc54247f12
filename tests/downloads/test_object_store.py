"""Files of an object store: copied whole, or refused in a line with nothing left behind."""

from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from jaxvision import networks
from jaxvision.cli.main import main
from jaxvision.downloads.object_store import fetch_object
from jaxvision.errors import InputError


class BadStore(MemoryFileSystem):
    """What lies below bad:// cannot be had, each for its own reason."""

    protocol = "bad"
    store: ClassVar[dict] = {}

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("bad://", "memory://"))

    def open(self, path, mode="rb", **options):
        if mode != "rb":
            return super().open(path, mode, **options)
        if path.endswith("secret"):
            raise PermissionError("anonymous caller\nlacks storage.objects.get")
        file = super().open(path, mode, **options)
        if path.endswith("half"):
            file.read(3)
        if path.endswith("broken"):
            raise ConnectionError("reset by peer")
        return file


@pytest.fixture
def store():
    fsspec.register_implementation("bad", BadStore, clobber=True)
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/bucket/w.pth", b"weights")
    bad = fsspec.filesystem("bad")
    for name in ("secret", "half", "broken"):
        MemoryFileSystem.pipe_file(bad, f"/{name}", b"1234567890")
    yield memory
    memory.rm("/bucket", recursive=True)


def test_a_file_is_copied_once_and_anew_where_it_changed(store, tmp_path):
    said = []
    first = fetch_object("memory://bucket/w.pth", tmp_path, said.append)
    assert (first.name, first.read_bytes()) == ("w.pth", b"weights")
    assert fetch_object("memory://bucket/w.pth", tmp_path, said.append) == first
    assert said == ["fetching memory://bucket/w.pth (0.0 MB)"]
    store.pipe_file("/bucket/w.pth", b"other weights")
    assert fetch_object("memory://bucket/w.pth", tmp_path).read_bytes() == b"other weights"


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("memory://bucket/none.pth", "cannot be fetched: no such file \\(404\\)$"),
        ("memory://bucket", "a folder; expected a file$"),
        ("bad://secret", "not allowed \\(403\\): anonymous caller.*objects.get$"),
        ("bad://half", "cannot be fetched: 7 of 10 bytes came$"),
        ("bad://broken", "cannot be fetched: reset by peer$"),
        ("nowhere://a/b", "Protocol not known: nowhere"),
    ],
)
def test_what_cannot_be_had_is_one_line_and_leaves_nothing(store, tmp_path, address, why):
    with pytest.raises(InputError, match=f"^{address}: .*{why}"):
        fetch_object(address, tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_store_whose_package_is_missing_says_which(monkeypatch, tmp_path):
    def missing(address):
        raise ImportError("Please install s3fs")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(InputError, match="s3:// cannot be read here: pip install s3fs"):
        fetch_object("s3://bucket/a", tmp_path)


def test_a_full_disk_is_the_disks_fault(store, tmp_path):
    (tmp_path / "objects").touch()
    with pytest.raises(OSError, match="objects") as caught:
        fetch_object("memory://bucket/w.pth", tmp_path)
    assert not isinstance(caught.value, InputError)


def test_weights_may_lie_in_a_store(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("JAXVISION_CACHE", str(tmp_path))
    assert networks.locate("memory://bucket/w.pth").read_bytes() == b"weights"
    (tmp_path / "a.mp4").touch()
    words = ["predict", str(tmp_path / "a.mp4"), "--config=pdpp/demo", f"--out={tmp_path / 'out'}"]
    assert main([*words, "--weights=memory://bucket/none.pth"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == (
        "jaxvision: error: memory://bucket/none.pth: cannot be fetched: no such file (404)"
    )


@pytest.mark.parametrize(
    "words",
    [
        ("prepare", "videos", "a", "gs://bucket/videos", "--short-side=320"),
        ("train", "--config=pdpp/demo", "--workdir=gs://bucket/run"),
        ("inspect", "--config=pdpp/demo", "--out=gs://bucket/look"),
        ("export", "gs://bucket/exported", "--workdir=run"),
        ("convert", "pdpp/coin", "w.pt", "gs://bucket/converted"),
        ("demo", "--workdir=gs://bucket/run"),
    ],
)
def test_what_needs_a_folder_refuses_a_store(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    assert caught.value.code == 2
    assert "expected a folder; mount object storage first" in capsys.readouterr().err
