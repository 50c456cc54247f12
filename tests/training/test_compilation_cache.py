"""Compiled programs are kept on accelerators, in bounds, unless told otherwise."""

import os

import jax
import pytest

from jaxvision.training.compilation_cache import forget_oldest, keep_compiled_programs


@pytest.fixture
def start(monkeypatch):
    """keep_compiled_programs(folder) on a machine with `backend`; what it said and chose."""
    before = jax.config.values["jax_compilation_cache_dir"]

    def run(folder, backend="gpu", **options):
        said = []
        monkeypatch.setattr(jax, "default_backend", lambda: backend)
        keep_compiled_programs(folder, said.append, **options)
        return said, jax.config.values["jax_compilation_cache_dir"]

    jax.config.update("jax_compilation_cache_dir", None)
    yield run
    jax.config.update("jax_compilation_cache_dir", before)


def test_accelerators_keep_their_programs(start, tmp_path):
    assert start(tmp_path / "new/compiled") == ([], str(tmp_path / "new/compiled"))
    assert start(tmp_path / "other") == ([], str(tmp_path / "new/compiled")), "was chosen before"


def test_cpus_do_not(start, tmp_path):
    assert start(tmp_path / "compiled", backend="cpu") == ([], None)
    assert not (tmp_path / "compiled").exists()


def test_one_setting_turns_it_off(start, tmp_path):
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        assert start(tmp_path / "compiled") == ([], None)
    finally:
        jax.config.update("jax_enable_compilation_cache", True)


def test_a_folder_that_cannot_be_written_is_said(start, tmp_path):
    (tmp_path / "file").touch()
    (said,), chosen = start(tmp_path / "file" / "compiled")
    assert chosen is None
    assert said.startswith(f"compiled programs are not kept: {tmp_path}/file/compiled: Not a dir")


def test_the_oldest_programs_go_first(tmp_path):
    for age, name in enumerate("abcd"):
        (tmp_path / name).write_bytes(bytes(10))
        os.utime(tmp_path / name, ns=(0, 10**9 * (10 - age)))
    forget_oldest(tmp_path, 25)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    forget_oldest(tmp_path, 25)
    assert len(list(tmp_path.iterdir())) == 2
