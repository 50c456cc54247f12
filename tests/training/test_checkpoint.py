"""A step whose files changed does not exist."""

import shutil

import jax
import numpy as np
import pytest

from jaxvision.errors import InputError
from jaxvision.loading import read_workdir
from jaxvision.training import loop
from jaxvision.training.checkpoint import Checkpoints
from jaxvision.weights.mapping import flatten
from training.toy import ToyTask, toy_config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished")
    config = toy_config()
    loop.train(ToyTask(config), config, workdir, None, jax.devices()[:1])
    return workdir


def files_of(workdir, step):
    folder = Checkpoints(workdir).path(step)
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def test_one_flipped_bit_in_any_file_is_refused_by_name(finished, tmp_path):
    names = files_of(finished, 6)
    assert len(names) > 5
    for number, name in enumerate(names):
        workdir = tmp_path / str(number)
        shutil.copytree(finished, workdir)
        file = Checkpoints(workdir).path(6) / name
        content = bytearray(file.read_bytes())
        if not content:  # an empty marker has no bit to flip: one byte too many
            content = bytearray(1)
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        said = []
        assert Checkpoints(workdir).usable_step(report=said.append) == 4, name
        (line,) = said
        assert name.name in line
        shutil.rmtree(workdir)


def test_a_missing_or_added_file_is_refused_by_name(finished, tmp_path):
    for change in ("missing", "added"):
        workdir = tmp_path / change
        shutil.copytree(finished, workdir)
        folder = Checkpoints(workdir).path(6)
        if change == "missing":
            victim = folder / "info.json"
            victim.unlink()
        else:
            victim = folder / "stranger"
            victim.write_text("")
        said = []
        assert Checkpoints(workdir).usable_step(report=said.append) == 4
        assert victim.name in said[0]


def test_a_step_without_manifest_does_not_exist(finished, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(finished, workdir)
    (Checkpoints(workdir).path(6) / "manifest.json").unlink()
    assert Checkpoints(workdir).usable_step(report=lambda text: None) == 4


def test_a_run_goes_on_from_the_previous_step_when_the_latest_is_damaged(finished, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(finished, workdir)
    before = flatten(Checkpoints(workdir).read_variables(6))
    file = next(p for p in Checkpoints(workdir).path(6).rglob("d/*") if p.is_file())
    file.write_bytes(file.read_bytes()[:-1])
    config = toy_config()
    loop.train(ToyTask(config), config, workdir, None, jax.devices()[:1])
    after = flatten(Checkpoints(workdir).read_variables(6))
    for path, value in before.items():
        np.testing.assert_array_equal(after[path], value, err_msg=path)


def test_weights_of_a_folder_without_a_whole_step_are_refused(finished, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(finished, workdir)
    for step in Checkpoints(workdir).steps():
        (Checkpoints(workdir).path(step) / "manifest.json").unlink()
    with pytest.raises(InputError, match="no whole checkpoint"):
        read_workdir(workdir)
