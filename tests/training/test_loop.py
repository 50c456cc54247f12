"""Whole runs of a small task in this process."""

import dataclasses
import json
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxvision.data.listed_files import look_for_some
from jaxvision.data.source import Source
from jaxvision.errors import InputError
from jaxvision.training import loop
from jaxvision.training.checkpoint import Checkpoints
from jaxvision.training.preemption import Preempted
from jaxvision.training.run import Run
from jaxvision.weights.mapping import flatten
from training.toy import Points, ToyTask, toy_config

WHOLE = Points()


def run(workdir, points=WHOLE, devices=1, **overrides):
    config = toy_config(**overrides)
    task = ToyTask(config, points)
    results = loop.train(task, config, workdir, None, jax.devices()[:devices])
    return results, [json.loads(line) for line in (workdir / "metrics.jsonl").open()]


def losses(rows):
    return [row["loss"] for row in rows if "loss" in row]


def final_variables(workdir):
    checkpoints = Checkpoints(workdir)
    return flatten(checkpoints.read_variables(checkpoints.steps()[-1]))


def assert_same(one, other):
    assert one.keys() == other.keys()
    for path in one:
        np.testing.assert_array_equal(one[path], other[path], err_msg=path)


def test_resumed_run_repeats_the_uninterrupted_one(tmp_path):
    run(tmp_path / "whole", **{"ema.decay": 0.9, "ema.collections": ("batch_stats",)})
    half = {"ema.decay": 0.9, "ema.collections": ("batch_stats",)}

    class Stop(BaseException):
        """As a kill: an ordinary error saves what is left."""

    original = loop.Loop.log

    def stop_after_four(self, done):
        original(self, done)
        if done == 5:
            raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Loop, "log", stop_after_four)
        with pytest.raises(Stop):
            run(tmp_path / "stopped", **half, **{"log.every_steps": 1})
    assert Checkpoints(tmp_path / "stopped").steps() == [2, 4]
    run(tmp_path / "stopped", **half)
    assert_same(final_variables(tmp_path / "whole"), final_variables(tmp_path / "stopped"))


@pytest.mark.parametrize(
    ("mesh", "packed"), [((2, 2, 2), False), ((8, 1, 1), True), ((1, 4, 2), True)]
)
def test_neither_mesh_nor_packed_moments_change_the_run(tmp_path, mesh, packed):
    expected, rows = run(tmp_path / "one")
    axes = dict(zip(("mesh.data", "mesh.fsdp", "mesh.tensor"), mesh, strict=True))
    got, sharded_rows = run(tmp_path / "many", devices=8, **axes, **{"optim.packed": packed})
    np.testing.assert_allclose(losses(sharded_rows), losses(rows), rtol=1e-5)
    assert got["whole/records"] == expected["whole/records"] == 40
    np.testing.assert_allclose(got["whole/mean_logit"], expected["whole/mean_logit"], rtol=1e-5)


def test_restore_onto_another_mesh(tmp_path):
    _, rows = run(tmp_path / "whole", **{"log.every_steps": 1})
    run(tmp_path / "moved", **{"checkpoint.every_steps": 4})
    # As if it had been killed after step 4.
    shutil.rmtree(Checkpoints(tmp_path / "moved").path(6))
    (tmp_path / "moved" / "metrics.jsonl").unlink()
    mesh = {"mesh.data": 2, "mesh.fsdp": 4}
    _, moved = run(tmp_path / "moved", devices=8, **mesh, **{"log.every_steps": 1})
    np.testing.assert_allclose(losses(moved), losses(rows)[4:], rtol=1e-5)


@dataclass(frozen=True)
class OwnHead(ToyTask):
    """The head has a learning rate of its own, and its bias bounds."""

    def parameter_group(self, path, shape):
        group = super().parameter_group(path, shape)
        bounds = (0.25, 0.5) if path == "head/bias" else None
        return group._replace(schedule="head" if "head" in path else "", bounds=bounds)


def test_a_group_with_a_schedule_and_bounds_of_its_own(tmp_path):
    def trained(folder, rate):
        table = ConfigDict({"head": {"name": "constant", "value": rate}})
        config = toy_config(**{"train.steps": 2, "optim.schedules": table})
        loop.train(OwnHead(config), config, tmp_path / folder, None, jax.devices()[:1])
        rows = [json.loads(line) for line in (tmp_path / folder / "metrics.jsonl").open()]
        (row,) = [row for row in rows if row.get("learning_rate")]
        assert row["learning_rate/head"] == np.float32(rate)
        assert row["learning_rate"] == np.float32(1e-2)
        return final_variables(tmp_path / folder)["params/head/bias"]

    # Zeros were clamped before the forward pass and not moved by the update.
    np.testing.assert_array_equal(trained("still", 0.0), 0.25)
    # The gradient is not cut at the bounds: the update goes past them.
    moved = trained("moved", 1.0)
    assert moved.min() < 0.25
    assert moved.max() > 0.5


def test_accumulation_averages_micro_batches(tmp_path):
    # Without batch norm in the way: statistics of a group are those of a rank.
    _, rows = run(tmp_path / "one", **{"train.norm_groups": 4, "train.steps": 2})
    variables = final_variables(tmp_path / "one")
    assert variables["memory/seen"].sum() == 2 * 16
    _, accumulated = run(tmp_path / "four", **{"train.accumulate": 4, "train.steps": 2})
    seen = final_variables(tmp_path / "four")["memory/seen"]
    np.testing.assert_array_equal(seen, variables["memory/seen"])
    assert losses(accumulated)[0] == pytest.approx(losses(rows)[0], rel=0.05)


def test_frozen_parameters_stay_and_are_saved_once(tmp_path):
    run(tmp_path)
    variables = final_variables(tmp_path)
    np.testing.assert_array_equal(variables["params/table"], 1)
    np.testing.assert_array_equal(variables["constants/offset"], 0.5)
    # The frozen folder holds them; no step does.
    assert (tmp_path / "checkpoints" / "frozen" / "manifest.json").is_file()
    metadata = (Checkpoints(tmp_path).path(6) / "_METADATA").read_text()
    assert "table" not in metadata
    assert "kernel" in metadata


def test_unreadable_records_are_replaced_counted_and_named(tmp_path, capsys):
    points = Points(broken=(3, 17))
    config = toy_config(**{"data.max_unreadable": 0.2})
    task = ToyTask(config, points)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ToyTask, "evaluations", lambda self: {})
        loop.train(task, config, tmp_path, None, jax.devices()[:1])
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    assert rows[-1]["records_replaced"] > 0
    shown = capsys.readouterr().out
    assert "unreadable, replaced: point 3: point 3 is damaged\n" in shown


def test_one_unreadable_record_counts_once_not_once_an_epoch(tmp_path, capsys):
    """Of 40 records, read three times over."""
    config = toy_config(**{"train.steps": 8, "data.max_unreadable": 0.01})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ToyTask, "evaluations", lambda self: {})
        loop.train(ToyTask(config, Points(broken=(3,))), config, tmp_path, None, jax.devices()[:1])
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    assert rows[-1]["records_replaced"] > 1
    assert capsys.readouterr().out.count("unreadable, replaced: point 3") == 1


def test_a_finished_training_outlives_an_evaluation_that_fails(tmp_path):
    """And the next start owes the evaluation, not the training."""
    expected, _ = run(tmp_path / "whole")
    evaluations = ToyTask.evaluations

    def broken(self):
        found = evaluations(self)["whole"]
        damaged = dataclasses.replace(found.source, records=Points(broken=(7,)))
        return {"whole": dataclasses.replace(found, source=damaged)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ToyTask, "evaluations", broken)
        for _ in range(2):
            with pytest.raises(InputError, match="point 7: point 7 is damaged"):
                run(tmp_path / "failed")
            assert Checkpoints(tmp_path / "failed").steps() == [2, 4, 6]
    results, rows = run(tmp_path / "failed")
    assert results == expected
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 4, 6]
    assert run(tmp_path / "failed")[0] == expected


@dataclasses.dataclass(frozen=True)
class Listed(Points):
    """Points of files, one of which is not there."""

    folder: Path = Path()

    def files(self):
        return [self.folder / "here", self.folder / "gone"]


def test_listed_files_of_an_evaluation_are_looked_for_at_the_start(tmp_path):
    (tmp_path / "here").touch()
    evaluations = ToyTask.evaluations

    def listed(self):
        found = evaluations(self)["whole"]
        source = dataclasses.replace(found.source, records=Listed(folder=tmp_path))
        return {"whole": dataclasses.replace(found, source=source)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ToyTask, "evaluations", listed)
        with pytest.raises(InputError, match=r"whole: 1 listed files are missing, first .*/gone$"):
            run(tmp_path / "run")
        assert Checkpoints(tmp_path / "run").steps() == []
        assert run(tmp_path / "run", **{"evaluate.max_unreadable": 1})[0]["whole/records"] == 40


def test_training_files_of_which_none_is_there_are_told_before_the_compilation(tmp_path):
    """A root that is misspelt, not after minutes of it."""
    points = Listed(folder=tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "compile", lambda self: pytest.fail("compiled"))
        with pytest.raises(InputError, match=r"/here: no such file.*none of the 2 .* of 2"):
            run(tmp_path / "run", points)
    (tmp_path / "gone").touch()
    look_for_some(Source(points, 1))


def test_an_evaluation_may_leave_records_out_and_says_so(tmp_path, capsys):
    def average(self):
        def finish(total, variables):
            return {"records": len(total)}

        found = evaluations(self)["whole"]
        damaged = dataclasses.replace(found.source, records=Points(broken=(0, 7)))
        return {"whole": dataclasses.replace(found, source=damaged, finish=finish)}

    evaluations = ToyTask.evaluations
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ToyTask, "evaluations", average)
        with pytest.raises(InputError, match=r"whole: 2 .* more than evaluate.max_unreadable=1"):
            run(tmp_path, **{"evaluate.max_unreadable": 1})
        results, _ = run(tmp_path, **{"evaluate.max_unreadable": 2})
    assert results == {"whole/records": 38, "whole/unreadable": 2}
    assert "whole: incomplete: 2 records could not be read" in capsys.readouterr().out


def test_an_error_saves_what_is_left(tmp_path):
    class Wrong(Exception):
        pass

    original = loop.Loop.log

    def wrong_after_five(self, done):
        original(self, done)
        if done == 5:
            raise Wrong

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Loop, "log", wrong_after_five)
        with pytest.raises(Wrong):
            run(tmp_path, **{"log.every_steps": 1})
    assert Checkpoints(tmp_path).steps() == [2, 4, 5]


@dataclasses.dataclass(frozen=True)
class Unlabelled(Points):
    """Points of which one at most has a label."""

    labelled: int = -1

    def __getitem__(self, index):
        record = super().__getitem__(index)
        return record if index == self.labelled else {**record, "label": -1}


def test_a_run_that_is_done_says_so(tmp_path, capsys):
    told = "step 6 was the last one: nothing is left to train"
    run(tmp_path)
    assert told not in capsys.readouterr().out
    run(tmp_path)
    assert told in capsys.readouterr().out


def test_a_run_without_anything_to_learn_from_is_refused(tmp_path):
    """After an epoch, or after the whole of a shorter run; one label that counts is enough."""
    for steps, read in ((6, 48), (2, 32)):
        config = toy_config(**{"train.steps": steps})
        task = ToyTask(config, Unlabelled())
        with pytest.raises(InputError, match=rf"^none of the {read} records read has a target"):
            loop.train(task, config, tmp_path / str(steps), None, jax.devices()[:1])
    config = toy_config()
    loop.train(ToyTask(config, Unlabelled(labelled=7)), config, tmp_path, None, jax.devices()[:1])


def test_too_many_unreadable_records_stop_the_run(tmp_path):
    config = toy_config(**{"data.max_unreadable": 0.05})
    task = ToyTask(config, Points(broken=tuple(range(20))))
    with pytest.raises(
        InputError, match=r"cannot be read, more than data.max_unreadable=0.05; last"
    ):
        loop.train(task, config, tmp_path, None, jax.devices()[:1])


def test_not_finite_update_is_dropped_and_its_records_named(tmp_path, capsys):
    points = Points(poison=(5,))
    config = toy_config(**{"log.every_steps": 1, "train.max_not_finite": 20})
    task = ToyTask(config, points)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ToyTask, "evaluations", lambda self: {})
        loop.train(task, config, tmp_path, None, jax.devices()[:1])
    shown = capsys.readouterr().out
    (line, *_) = [text for text in shown.splitlines() if "the update was dropped" in text]
    assert "point 5" in line
    for path, value in final_variables(tmp_path).items():
        assert np.isfinite(value).all(), path


def test_too_many_not_finite_updates_stop_the_run(tmp_path):
    config = toy_config(**{"train.max_not_finite": 1, "train.steps": 40})
    task = ToyTask(config, Points(poison=tuple(range(40))))
    with pytest.raises(FloatingPointError, match="2 updates were not finite"):
        loop.train(task, config, tmp_path, None, jax.devices()[:1])


def test_best_checkpoint_is_kept(tmp_path):
    run(
        tmp_path,
        **{
            "train.steps": 12,
            "evaluate.every_steps": 2,
            "checkpoint.keep": 1,
            "checkpoint.best": "whole/mean_logit",
            "checkpoint.best_mode": "max",
        },
    )
    checkpoints = Checkpoints(tmp_path, 1, "whole/mean_logit", "max")
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    values = {
        r["step"]: r["evaluate/whole/mean_logit"] for r in rows if "evaluate/whole/records" in r
    }
    best = max(values, key=values.get)
    assert checkpoints.best_step() == best
    assert checkpoints.steps() == sorted({best, 12})
    assert checkpoints.results(best)["whole/mean_logit"] == values[best]


def test_evaluation_does_not_depend_on_batch_size(tmp_path):
    one, _ = run(tmp_path / "a", **{"task.evaluation_batch": 16})
    other, _ = run(tmp_path / "b", **{"task.evaluation_batch": 7})
    for name in one:
        assert one[name] == pytest.approx(other[name], rel=1e-6), name


def test_a_signal_in_an_evaluation_is_answered_between_its_batches(tmp_path):
    """The step is saved, though none was due there, and the next start owes the evaluation."""

    class Signalled(Points):
        """SIGTERM comes while the first evaluation reads its second batch."""

        def __getitem__(self, index):
            if index == 9 and rows_of_evaluation:
                rows_of_evaluation.clear()
                signal.raise_signal(signal.SIGTERM)
            return super().__getitem__(index)

    every = {"evaluate.every_steps": 3, "checkpoint.every_steps": 12, "task.evaluation_batch": 4}
    expected, _ = run(tmp_path / "whole", **every)
    rows_of_evaluation = [True]
    original = loop.Loop.evaluate

    def evaluate(self, done, state, stop=None):
        source = self.evaluator.evaluations["whole"].source
        signalled = dataclasses.replace(source, records=Signalled())
        evaluation = dataclasses.replace(self.evaluator.evaluations["whole"], source=signalled)
        self.evaluator.evaluations["whole"] = evaluation
        original(self, done, state, stop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Loop, "evaluate", evaluate)
        with pytest.raises(Preempted) as stopped:
            run(tmp_path / "stopped", **every)
    checkpoints = Checkpoints(tmp_path / "stopped")
    assert stopped.value.step == 3
    assert checkpoints.steps() == [3]
    assert not checkpoints.evaluated(3)
    results, _ = run(tmp_path / "stopped", **every)
    assert checkpoints.evaluated(3)
    assert results == expected
    assert_same(final_variables(tmp_path / "whole"), final_variables(tmp_path / "stopped"))


def test_a_start_that_saved_nothing_does_not_lock_its_workdir(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Loop, "run", lambda *_: (_ for _ in ()).throw(InputError("no data")))
        with pytest.raises(InputError, match="no data"):
            loop.train(
                ToyTask(toy_config(), WHOLE), toy_config(), tmp_path, None, jax.devices()[:1]
            )
    assert json.loads((tmp_path / "config.json").read_text())["optim"]["b2"] == 0.999
    run(tmp_path, **{"optim.b2": 0.95})
    assert json.loads((tmp_path / "config.json").read_text())["optim"]["b2"] == 0.95


def test_workdir_of_another_config_is_refused_with_the_difference(tmp_path):
    run(tmp_path)
    with pytest.raises(InputError, match=r"another config: optim.b2: 0.999 -> 0.95$"):
        run(tmp_path, **{"optim.b2": 0.95})


def test_a_refused_start_leaves_the_config_of_a_healthy_run(tmp_path):
    run(tmp_path)
    before = (tmp_path / "config.json").read_text()
    with pytest.raises(InputError, match="needs 7 devices"):
        run(tmp_path, **{"mesh.data": 7})
    assert (tmp_path / "config.json").read_text() == before
    with pytest.raises(InputError, match="needs 7 devices"):
        run(tmp_path / "new", **{"mesh.data": 7})
    assert not (tmp_path / "new" / "config.json").exists()


def test_two_runs_in_one_workdir(tmp_path):
    from jaxvision.training.run_record import open_workdir

    with (
        open_workdir(tmp_path, toy_config()),
        pytest.raises(InputError, match=r"in use by process \d+"),
        open_workdir(tmp_path, toy_config()),
    ):
        pass


def test_failed_background_save_is_told_at_the_next_step(tmp_path):
    from jaxvision.training import checkpoint

    def fail(self, directory):
        raise ValueError("the disk has gone")

    config = toy_config(**{"train.steps": 40, "checkpoint.every_steps": 4})
    steps = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint._SignedHandler, "finalize", fail)
        original = checkpoint.Checkpoints.check

        def slow_check(self):
            steps.append(1)
            import time

            time.sleep(0.02)
            original(self)

        patch.setattr(checkpoint.Checkpoints, "check", slow_check)
        with pytest.raises(checkpoint.SaveError, match="the disk has gone"):
            loop.train(ToyTask(config), config, tmp_path, None, jax.devices()[:1])
    assert len(steps) < 40
    assert Checkpoints(tmp_path).steps() == []


def test_debug_stops_at_the_first_nan(tmp_path):
    config = toy_config(debug=True)
    with pytest.raises(FloatingPointError, match="nan"):
        loop.train(ToyTask(config, Points(poison=(5,))), config, tmp_path, None, jax.devices()[:1])


def test_evaluations_are_made_once(tmp_path):
    """Of large data sets they read lists for a while."""
    made = []

    class Counting(ToyTask):
        def evaluations(self):
            made.append(self)
            return super().evaluations()

    config = toy_config(**{"train.steps": 1})
    loop.train(Counting(config), config, tmp_path, None, jax.devices()[:1])
    assert len(made) == 1
