"""An object store in memory, and one that refuses, each with what a test puts there."""

from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem


class BadStore(MemoryFileSystem):
    """What lies below bad:// cannot be had, each for its own reason."""

    protocol = "bad"
    store: ClassVar[dict] = {}
    pseudo_dirs: ClassVar[list] = [""]
    writable = False

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("bad://", "memory://"))

    def open(self, path, mode="rb", **options):
        if mode != "rb" and self.writable:
            return super().open(path, mode, **options)
        if mode != "rb":
            raise PermissionError("anonymous caller\nlacks storage.objects.create")
        if "secret" in path:
            raise PermissionError("anonymous caller\nlacks storage.objects.get")
        file = super().open(path, mode, **options)
        if "half" in path:
            file.read(3)
        if "broken" in path:
            raise ConnectionError("reset by peer")
        return file

    def find(self, path, *others, **options):
        """As fsspec does of itself, without a word about what may not be listed."""
        return {} if "hidden" in path else super().find(path, *others, **options)

    def ls(self, path, detail=True, **options):
        if "hidden" in path:
            raise PermissionError("lacks storage.objects.list")
        return super().ls(path, detail, **options)


@pytest.fixture
def put(monkeypatch, tmp_path):
    """put(folder): the files below it lie in a store now; the address there."""
    monkeypatch.setenv("JAXVISION_CACHE", str(tmp_path / "cache"))
    memory = fsspec.filesystem("memory")

    def put_files(folder, address="memory://bucket/data"):
        for path in sorted(folder.rglob("*")):
            there = f"{address.removeprefix('memory:/')}/{path.relative_to(folder).as_posix()}"
            if path.is_file():
                memory.pipe_file(there, path.read_bytes())
            else:
                memory.makedirs(there, exist_ok=True)
        return address

    yield put_files
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture
def bad(put, monkeypatch):
    """A store of four files: of one each is refused, broken off, cut and whole."""
    fsspec.register_implementation("bad", BadStore, clobber=True)
    monkeypatch.setattr(BadStore, "writable", True)
    for name in ("secret.txt", "broken.txt", "half.txt", "whole.txt", "hidden/a.txt"):
        fsspec.filesystem("bad").pipe_file(f"/{name}", b"1234567890")
    monkeypatch.setattr(BadStore, "writable", False)
    return "bad:/"
