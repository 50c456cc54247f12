"""A step whose files changed does not exist, and a whole one is never lost."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxvision.errors import InputError
from jaxvision.loading import read_workdir
from jaxvision.training import checkpoint, loop, manifest
from jaxvision.training.checkpoint import Checkpoints
from jaxvision.training.reporting import Reporter
from jaxvision.weights.mapping import flatten
from training.toy import ToyTask, toy_config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished")
    train(workdir)
    return workdir


@pytest.fixture
def workdir(finished, tmp_path):
    """A copy of the finished run."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def train(workdir, task=ToyTask, **overrides):
    config = toy_config(**overrides)
    return loop.train(task(config), config, workdir, None, jax.devices()[:1])


def usable(workdir, **options):
    """(newest whole step, what was said about others)."""
    said = []
    with Checkpoints(workdir) as checkpoints:
        return checkpoints.usable_step(report=said.append, **options), said


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


def flip(file, other):
    content = bytearray(file.read_bytes() or b"\0")
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def truncate(file, other):
    file.write_bytes(file.read_bytes()[:-1] or b"one byte too many")


def delete(file, other):
    file.unlink()


def copy(file, other):
    file.write_bytes(other.read_bytes())


def swap(file, other):
    content = file.read_bytes()
    file.write_bytes(other.read_bytes())
    other.write_bytes(content)


@pytest.mark.parametrize("change", [flip, truncate, delete, copy, swap])
def test_every_change_of_one_file(workdir, change):
    """Of the newest step: the one before is taken. Of the frozen part: refused, by name. Of a
    result or an older step: nothing. And never is a folder deleted over it."""
    folder = workdir / "checkpoints"
    kept = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    files, tried = sorted(kept), 0
    with Checkpoints(workdir) as checkpoints:
        for name, other in zip(files, files[1:] + files[:1], strict=True):
            place = name.parts[0]
            same = change in (copy, swap) and kept[name] == kept[other]
            if same or (change is swap and other.parts[0] != place):  # that is two places
                continue
            tried += 1
            change(folder / name, folder / other)
            said = []
            if place == "frozen":
                with pytest.raises(InputError, match="no whole checkpoint") as caught:
                    checkpoints.usable_step(report=said.append)
                assert name.name in str(caught.value) or change is swap
            elif place == "00000006":
                assert checkpoints.usable_step(report=said.append) == 4, name
                (line,) = said
                assert name.name in line or change is swap
            else:
                assert checkpoints.usable_step(report=said.append) == 6, name
                assert said == []
            assert checkpoints.steps() == [2, 4, 6]
            for path, content in kept.items():
                (folder / path).write_bytes(content)
    assert tried > 20


def test_a_damaged_frozen_part_is_written_again(workdir, capsys):
    before = flatten(Checkpoints(workdir).read_variables(6))
    file = next(p for p in (workdir / "checkpoints" / "frozen").rglob("d/*") if p.is_file())
    flip(file, None)
    shutil.rmtree(Checkpoints(workdir).path(6))
    train(workdir)
    shown = capsys.readouterr().out
    assert f"checkpoint refused: {file}: checksum differs" in shown
    assert "written again from what the run started from" in shown
    assert "resumed from step 4" in shown
    assert usable(workdir) == (6, [])
    after = flatten(Checkpoints(workdir).read_variables(6))
    for path, value in before.items():
        np.testing.assert_array_equal(after[path], value, err_msg=path)


class Elsewhere(ToyTask):
    """Starts from another frozen part, as if the teacher's file had changed."""

    def init(self, rng):
        variables = super().init(rng)
        return {**variables, "constants": {"offset": variables["constants"]["offset"] + 1}}


def test_a_lost_frozen_part_that_cannot_be_made_again_is_refused(workdir):
    shutil.rmtree(workdir / "checkpoints" / "frozen")
    with pytest.raises(InputError, match=r"frozen/manifest.json: missing; what this run starts"):
        train(workdir, Elsewhere)
    with pytest.raises(InputError, match=r"no whole checkpoint.*frozen/manifest.json: missing"):
        read_workdir(workdir)
    assert Checkpoints(workdir).steps() == [2, 4, 6]


def test_a_step_is_bound_to_its_number(workdir):
    two, four, six = (Checkpoints(workdir).path(step) for step in (2, 4, 6))
    shutil.copytree(two, Checkpoints(workdir).path(99))
    found, (line,) = usable(workdir)
    assert found == 6
    assert line.endswith("00000099: its step is 2, not 99")
    six.rename(workdir / "aside")
    four.rename(six)
    (workdir / "aside").rename(four)
    found, (_, line, other) = usable(workdir)
    assert found == 2
    assert line.endswith("00000006: its step is 4, not 6")
    assert other.endswith("00000004: its step is 6, not 4")


def test_a_step_is_bound_to_its_run(workdir, tmp_path):
    train(tmp_path / "other", seed=1)
    shutil.copytree(Checkpoints(tmp_path / "other").path(6), Checkpoints(workdir).path(8))
    found, (line,) = usable(workdir)
    assert found == 6
    assert "00000008: its run is " in line
    # The table of the run may be lost: its steps know the run.
    (workdir / "run.json").unlink()
    assert usable(workdir) == (6, [line])


def test_a_step_of_another_format_is_refused(workdir):
    file = Checkpoints(workdir).path(6) / "manifest.json"
    table = json.loads(file.read_text())
    assert table.pop("sha256")
    table["format"] = 2
    file.write_text(json.dumps({"sha256": manifest._digest(table), **table}))
    found, (line,) = usable(workdir)
    assert found == 4
    assert line.endswith("its format is 2, not 1")


def test_a_step_asked_for_is_that_step_or_none(workdir):
    assert usable(workdir, step=4) == (4, [])
    with pytest.raises(InputError, match=r"no checkpoint of step 5; there are 2, 4, 6$"):
        usable(workdir, step=5)
    (Checkpoints(workdir).path(4) / "info.json").unlink()
    with pytest.raises(InputError, match=r"00000004/info.json: missing"):
        read_workdir(workdir, 4)


def test_a_run_without_a_whole_step_does_not_start_again(workdir):
    for step in Checkpoints(workdir).steps():
        (Checkpoints(workdir).path(step) / "info.json").unlink()
    with pytest.raises(
        InputError, match=r"no whole checkpoint there \(3 refused, last: .*info.json"
    ):
        train(workdir)
    assert Checkpoints(workdir).steps() == [2, 4, 6]


def test_a_first_save_that_was_killed_never_was(workdir):
    """A folder that was not committed is no step: the run begins."""
    for step in Checkpoints(workdir).steps():
        folder = Checkpoints(workdir).path(step)
        folder.rename(folder.with_name(f"{folder.name}.orbax-checkpoint-tmp-1"))
    assert usable(workdir) == (None, [])


class Killed(BaseException):
    pass


def test_the_last_whole_step_outlives_a_kill_in_the_next_save(workdir, monkeypatch):
    """Keeping one: 4 is whole and 6 damaged; the run goes on from 4 and dies while it saves 6."""
    shutil.rmtree(Checkpoints(workdir).path(2))
    flip(Checkpoints(workdir).path(6) / "info.json", None)

    def killed(*_):
        raise Killed

    monkeypatch.setattr(checkpoint.Checkpoints, "_write", killed)
    with pytest.raises(Killed):
        train(workdir, **{"checkpoint.keep": 1})
    monkeypatch.undo()
    assert usable(workdir)[0] == 4
    train(workdir, **{"checkpoint.keep": 1})
    assert Checkpoints(workdir).steps() == [6]


def test_steps_are_deleted_only_after_a_newer_one_was_read_back(tmp_path, monkeypatch):
    read_back, there = [], []
    original, prune = Checkpoints._read_back, Checkpoints._prune

    def watched(self, folder, **facts):
        original(self, folder, **facts)
        read_back.append(folder.name)

    def watched_prune(self, newest):
        there.append((newest, read_back[-1], self.steps()))
        prune(self, newest)

    monkeypatch.setattr(Checkpoints, "_read_back", watched)
    monkeypatch.setattr(Checkpoints, "_prune", watched_prune)
    (tmp_path / "checkpoints" / "my_best_backup").mkdir(parents=True)
    (tmp_path / "checkpoints" / "00000002.old").mkdir()
    train(tmp_path, **{"checkpoint.keep": 1})
    assert read_back == ["frozen", "00000002", "00000004", "00000006"]
    assert [(newest, f"{newest:08d}") for newest in (2, 4, 6)] == [row[:2] for row in there]
    assert all({newest} <= set(steps) for newest, _, steps in there)
    left = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert left == ["00000002.old", "00000006", "00000006.results.json", "frozen", "my_best_backup"]


def test_a_kill_while_a_step_is_deleted_leaves_no_half_step(workdir, monkeypatch):
    def killed(path):
        (path / "info.json").unlink()
        raise Killed

    with Checkpoints(workdir, keep=1) as checkpoints:
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint.shutil, "rmtree", killed)
            with pytest.raises(Killed):
                checkpoints._prune(6)
        assert checkpoints.steps() == [4, 6]
        assert usable(workdir, step=4) == (4, [])
        assert (checkpoints.folder / f"00000002{checkpoint.DELETED}").is_dir()
        checkpoints._delete_leftovers()
        assert not (checkpoints.folder / f"00000002{checkpoint.DELETED}").exists()


def test_a_save_that_reads_back_damaged_ends_the_run(tmp_path, monkeypatch):
    """And nothing is deleted for it."""
    forget = manifest.forget

    def worn_out(folder):
        forget(folder)
        if folder.name == "00000004":
            flip(folder / "info.json", None)

    monkeypatch.setattr(manifest, "forget", worn_out)
    with pytest.raises(checkpoint.SaveError, match=r"00000004/info.json.*right after"):
        train(tmp_path, **{"checkpoint.keep": 1})
    assert 2 in Checkpoints(tmp_path).steps()
    assert usable(tmp_path)[0] in (2, 6)


def test_unreadable_results_of_an_older_step_do_not_matter(workdir):
    best = {"best": "whole/mean_logit", "keep": 1}
    with Checkpoints(workdir, **best) as checkpoints:
        checkpoints.add_results(2, {"whole/mean_logit": 5.0})
        checkpoints.add_results(4, {"whole/mean_logit": 7.0})
        assert checkpoints.best_step() == 4
        for text in ("", "[]", '{"whole/mean_logit": "high"}', '{"whole/mean_logit": NaN}'):
            (workdir / "checkpoints" / "00000004.results.json").write_text(text)
            assert checkpoints.best_step() == 2
        (checkpoints.path(2) / "info.json").write_text("torn {")
        checkpoints._prune(6)
        assert checkpoints.steps() == [2, 6]


@pytest.mark.parametrize("text", ["", "[]", '{"method": "to', "{}", "[" * 10**5])
def test_a_config_that_cannot_be_read_is_refused(workdir, text):
    (workdir / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config.json: not the config of a run .*; remove it if"):
        train(workdir)
    assert (workdir / "config.json").read_text() == text


def test_a_refused_start_leaves_the_workdir_as_it_was(workdir):
    before = {p: p.read_bytes() for p in workdir.rglob("*.json*")}
    with pytest.raises(InputError, match="another config"):
        train(workdir, seed=7)
    assert {p: p.read_bytes() for p in workdir.rglob("*.json*")} == before


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(InputError, match=r"checkpoints: no folder: File exists$"):
        train(tmp_path)


@pytest.mark.parametrize("torn", ["", '{"step": 2, "lo', '{"step": 2}\n{"st' + "x" * 9000])
def test_a_torn_last_line_does_not_swallow_the_next(tmp_path, torn):
    whole = '{"step": 1}\n'
    (tmp_path / "metrics.jsonl").write_text(whole + torn)
    with Reporter(tmp_path, 3) as reporter:
        reporter.metrics(3, {"loss": 0.5})
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    kept = [2] if "\n" in torn else []
    assert [row["step"] for row in rows] == [1, *kept, 3]


def test_facts_of_the_run_stand_in_one_table(finished):
    facts = json.loads((finished / "run.json").read_text())
    assert facts.keys() == {"run", "recipe", "classes"}
    assert facts["run"] == manifest.read(Checkpoints(finished).path(6))["run"]


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


@pytest.mark.parametrize(("averaged", "read"), [(None, "ema"), (False, "params")])
def test_weights_are_read_without_moments_and_once(tmp_path, monkeypatch, averaged, read):
    """Of the raw and the averaged weights only those that are asked for, and no moments."""
    train(tmp_path, **{"ema.decay": 0.5, "train.steps": 2})
    asked, restore = [], checkpoint.ocp.PyTreeCheckpointer.restore

    def restored(self, path, args):
        asked.append(set(args.item))
        return restore(self, path, args=args)

    monkeypatch.setattr(checkpoint.ocp.PyTreeCheckpointer, "restore", restored)
    assert flatten(Checkpoints(tmp_path).read_variables(2, averaged)["params"])
    assert asked[0] - {"collections"} == {read}
