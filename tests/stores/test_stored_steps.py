"""Copies of checkpoints: a lost machine's run goes on from them, and none is half there."""

import json
import shutil

import fsspec
import jax
import pytest

from jaxvision.errors import InputError
from jaxvision.stores import store
from jaxvision.training import loop, stored_steps
from jaxvision.training.checkpoint import Checkpoints, SaveError
from training.toy import ToyTask, toy_config

ADDRESS = "memory://bucket/run"


def train(workdir, copies=ADDRESS, **overrides):
    config = toy_config(**overrides)
    return loop.train(ToyTask(config), config, workdir, None, jax.devices()[:1], copies=copies)


def steps_there():
    return stored_steps.steps_in(store.files_under(ADDRESS))


@pytest.fixture
def run(put, tmp_path):
    """A finished run of 6 steps, saved every 2; and what it gave."""
    return tmp_path / "run", train(tmp_path / "run")


def test_a_lost_workdir_comes_back(run, tmp_path, capsys):
    workdir, results = run
    there = store.files_under(ADDRESS)
    assert steps_there() == Checkpoints(workdir).steps()
    folder = workdir / "checkpoints"
    here = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert {n.removeprefix("checkpoints/") for n in there} == here | {"run.json", "config.json"}
    # 1. Another machine has the run, evaluated as it was.
    capsys.readouterr()
    again = tmp_path / "again"
    assert train(again) == results
    said = capsys.readouterr().out
    assert f"taking step 6 from {ADDRESS}" in said
    assert "resumed from step 6" in said
    assert (
        json.loads((again / "run.json").read_text())["run"]
        == (json.loads((workdir / "run.json").read_text())["run"])
    )
    # 2. A copy that was cut or changed is none: the one before it, under the same name there.
    memory = fsspec.filesystem("memory")
    name = next(n for n in there if "00000006/" in n and n.endswith("info.json"))
    memory.pipe_file(f"/bucket/run/{name}", b"{}")
    shutil.rmtree(again)
    assert train(again) == results
    said = capsys.readouterr().out
    assert f"copy refused: {ADDRESS}/checkpoints/00000006/info.json: checksum differs" in said
    assert "resumed from step 4" in said
    # 3. The workdir has what is as new: nothing is taken.
    assert train(again) == results
    assert "taking" not in capsys.readouterr().out


def test_another_run_keeps_its_copies(run, tmp_path, capsys):
    other = tmp_path / "other"
    train(other, copies="")
    with pytest.raises(InputError, match=f"^{ADDRESS}: holds copies of another run than {other}"):
        train(other)
    with pytest.raises(InputError, match=r"holds a run of another config: .*seed"):
        train(tmp_path / "third", seed=7)
    with pytest.raises(InputError, match="--copies 'runs/a': expected an address"):
        train(tmp_path / "fourth", copies="runs/a")
    fsspec.filesystem("memory").pipe_file("/bucket/else/a.txt", b"x")
    with pytest.raises(InputError, match=r"memory://bucket/else: holds files of no run \(a.txt\)"):
        train(tmp_path / "fifth", copies="memory://bucket/else")


def test_a_store_that_refuses_ends_no_step(put, tmp_path, monkeypatch, capsys):
    def refuses(source, address):
        if "00000004" in address and (refusing or address.endswith("manifest.json")):
            raise InputError(f"{address}: cannot be written: reset by peer")
        return sent(source, address)

    sent, refusing = stored_steps.send, False
    monkeypatch.setattr(stored_steps, "send", refuses)
    train(tmp_path / "run")
    assert "step 4 has no copy yet: memory://bucket/run/checkpoints/00000004/manifest.json: " in (
        capsys.readouterr().out
    )
    assert steps_there() == [2, 6]
    # The newest step must have one, or the end says so.
    monkeypatch.setattr(
        stored_steps, "send", lambda source, address: refuses(source, address.replace("06", "04"))
    )
    refusing = True
    with pytest.raises(SaveError, match="the run is finished, but has no copy of its end: "):
        train(tmp_path / "second", copies="memory://bucket/second")
    assert Checkpoints(tmp_path / "second").usable_step() == 6


def test_a_store_that_may_not_be_written_is_refused_before_the_work(bad, tmp_path):
    with pytest.raises(InputError, match=r"^bad://run: cannot be written: not allowed"):
        train(tmp_path / "run", copies="bad://run")
    assert not Checkpoints(tmp_path / "run").steps()
