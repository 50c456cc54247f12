"""A memory: rows written in place, the last of equal rows, nothing where the loss is not finite."""

import json
import shutil
from dataclasses import dataclass, replace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.errors import InputError
from jaxvision.loading import read_workdir
from jaxvision.training import loop
from jaxvision.training.checkpoint import Checkpoints
from jaxvision.training.config import check_choices
from jaxvision.training.row_writes import write_rows
from jaxvision.training.run import compile_by_bucket, jitted_step, prepare_run
from jaxvision.training.step import changes
from jaxvision.training.task import Aux
from jaxvision.weights.mapping import flatten
from training.toy import FEATURES, Points, ToyTask, toy_config

ROWS = 48
WHOLE = Points()


@dataclass(frozen=True)
class BankTask(ToyTask):
    """Every point leaves its features in a bank, at the row of its number; `tag` counts steps."""

    first_row: int = 0
    rows: int = ROWS
    width: int = FEATURES

    def init(self, rng):
        bank = nn.LogicallyPartitioned(jnp.zeros((self.rows, self.width)), ("rows", None))
        memory = {"bank": bank, "tag": jnp.zeros((), jnp.int32), "untouched": jnp.ones(3)}
        return {**super().init(rng), "memory": memory}

    def loss(self, variables, batch, rng, train):
        memory = variables["memory"]
        with_seen = {**variables, "memory": {"seen": jnp.zeros(3, jnp.int32)}}
        value, aux = super().loss(with_seen, batch, rng, train)
        # The bank is read, so that a write may not come before the read.
        value = value + 1e-3 * jnp.mean(memory["bank"][: len(batch["x"])])
        rows = self.first_row + jnp.arange(len(batch["label"])) % 12
        state = {"batch_stats": aux.state["batch_stats"], "memory": {"tag": memory["tag"] + 1}}
        values = jnp.tile(batch["x"], (1, self.width // FEATURES))
        return value, Aux(aux.metrics, state, {"bank": (rows, values)})

    def evaluations(self):
        ((name, found),) = super().evaluations().items()

        def outputs(variables, batch, rng):
            assert "memory" not in variables
            return found.outputs(variables, batch, rng)

        return {name: replace(found, outputs=outputs)}

    def predict(self, variables, batch, rng):
        assert "memory" not in variables
        return super().predict(variables, batch, rng)


def run(workdir, task=BankTask, devices=1, points=WHOLE, **overrides):
    config = toy_config(**overrides)
    loop.train(task(config, points), config, workdir, None, jax.devices()[:devices])
    return [json.loads(line) for line in (workdir / "metrics.jsonl").open()]


def memory(workdir):
    return Checkpoints(workdir).read_variables(Checkpoints(workdir).steps()[-1])["memory"]


def test_of_equal_rows_the_last_wins_and_outside_rows_are_counted():
    array = np.zeros((5, 2), np.float32)
    rows = np.array([3, -1, 0, 3, 7, -5, 4, 3, 0], np.int32)
    values = np.arange(18, dtype=np.float32).reshape(9, 2)
    written, outside = jax.jit(write_rows)(array, rows, values)
    expected = array.copy()
    for row, value in zip(rows, values, strict=True):
        if 0 <= row < 5:
            expected[row] = value
    np.testing.assert_array_equal(written, expected)
    assert outside == 2, "7 and -5; -1 is padding"
    unwritten, _ = jax.jit(write_rows)(array, rows, values, jnp.array(False))
    np.testing.assert_array_equal(unwritten, array)


def test_only_written_rows_change_and_other_leaves_stay(tmp_path):
    run(tmp_path, **{"train.steps": 3, "log.pictures_every_steps": 3})
    found = memory(tmp_path)
    assert np.any(found["bank"][:12] != 0, axis=1).all()
    np.testing.assert_array_equal(found["bank"][12:], 0)
    np.testing.assert_array_equal(found["untouched"], 1)
    assert found["tag"] == 3


@pytest.mark.parametrize("mesh", [(2, 2, 2), (8, 1, 1)])
def test_mesh_does_not_change_the_memory(tmp_path, mesh):
    run(tmp_path / "one")
    axes = dict(zip(("mesh.data", "mesh.fsdp", "mesh.tensor"), mesh, strict=True))
    run(tmp_path / "many", devices=8, **axes)
    np.testing.assert_array_equal(
        memory(tmp_path / "many")["bank"], memory(tmp_path / "one")["bank"]
    )


def test_micro_batches_write_once_in_their_order(tmp_path):
    run(tmp_path / "four", **{"train.steps": 1, "train.accumulate": 4})
    run(tmp_path / "one", **{"train.steps": 1})
    four, one = memory(tmp_path / "four"), memory(tmp_path / "one")
    assert (one["tag"], four["tag"]) == (1, 4)
    # Micro-batch i holds rows i, i + 4, ... and writes at 0..3: the last micro-batch stays, whose
    # points are 3, 7, 11, 15; the whole batch writes 15 at row 3.
    np.testing.assert_array_equal(np.any(four["bank"] != 0, axis=1), np.arange(ROWS) < 4)
    assert np.abs(four["bank"][3] - one["bank"][3]).max() < 0.1, "but for the noise of `prepare`"
    assert np.abs(four["bank"][0] - one["bank"][0]).max() > 0.1


def test_a_loss_that_is_not_finite_writes_nothing(tmp_path):
    settings = {"train.steps": 2, "train.max_not_finite": 5}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BankTask, "evaluations", lambda self: {})
        rows = run(tmp_path, points=Points(poison=tuple(range(40))), **settings)
    assert any(row.get("not_finite") for row in rows)
    np.testing.assert_array_equal(memory(tmp_path)["bank"], 0)
    assert memory(tmp_path)["tag"] == 0


def test_rows_outside_are_counted_and_refused_when_debugging(tmp_path):
    def task(config, points):
        return BankTask(config, points, first_row=40)  # rows 40..51 of 48

    rows = run(tmp_path / "counted", task, **{"log.every_steps": 1})
    counts = [row["rows_out_of_range/memory/bank"] for row in rows if "loss" in row]
    assert counts == [4] * 6  # places 8..11 of the first dozen; 12..15 come to rows 40..43
    with pytest.raises(InputError, match=r"the loss writes 4 rows outside 'memory/bank'"):
        run(tmp_path / "debug", task, debug=True)


def test_no_temporary_is_as_large_as_the_memory():
    """Nor is the memory sent between devices: only the written values are."""
    for devices, accumulate in ((1, 1), (8, 2)):
        config = toy_config(**{"mesh.data": devices, "train.accumulate": accumulate})
        task = BankTask(config, rows=8192, width=FEATURES * 64)
        run = prepare_run(task, config, jax.devices()[:devices])
        step = jitted_step(task, config, run.optimizer, run.target)
        compiled = compile_by_bucket(step, run.target, task.batch_specs("train"), run.mesh)
        analysis = compiled["points"].memory_analysis()
        bank = 8192 * FEATURES * 64 * 4 // devices
        assert analysis.alias_size_in_bytes > bank, "it is written in place"
        assert analysis.temp_size_in_bytes < bank / 4


def test_a_memory_is_split_by_row():
    config = toy_config(**{"mesh.data": 4, "mesh.fsdp": 2})
    target = prepare_run(BankTask(config), config, jax.devices()[:8]).target
    sharding = target.collections["memory"]["bank"].sharding
    assert sharding.shard_shape((ROWS, FEATURES)) == (ROWS // 8, FEATURES)


def test_a_resumed_run_has_the_same_memory(tmp_path):
    run(tmp_path / "whole")
    run(tmp_path / "stopped")
    shutil.rmtree(Checkpoints(tmp_path / "stopped").path(6))
    run(tmp_path / "stopped")
    for path, value in flatten(memory(tmp_path / "whole")).items():
        np.testing.assert_array_equal(flatten(memory(tmp_path / "stopped"))[path], value)


def test_a_run_is_evaluated_without_its_memory(tmp_path):
    run(tmp_path)
    found = read_workdir(tmp_path, without=BankTask.training_only)
    assert set(found) == {"params", "batch_stats", "constants"}
    whole = flatten(read_workdir(tmp_path))
    for path, value in flatten(found).items():
        np.testing.assert_array_equal(whole[path], value, err_msg=path)


@pytest.mark.parametrize(
    ("aux", "message"),
    [
        (Aux({}, {}, {"bonk": (0, 0)}), r"changes 'memory/bonk'; did you mean 'memory/bank'\?"),
        (Aux({}, {"memory": {"tug": 0}}), r"changes 'memory/tug'; did you mean 'memory/tag'\?"),
        (
            Aux({}, {"memory": {"bank": 0}}, {"bank": (0, 0)}),
            "both replaces 'memory/bank' and writes rows of it",
        ),
    ],
)
def test_changes_that_have_no_place_are_refused(aux, message):
    with pytest.raises(InputError, match=message):
        changes(aux, {"memory": {"bank": 0, "tag": 0}})


def test_an_average_of_a_memory_is_refused():
    config = toy_config(**{"ema.decay": 0.9, "ema.collections": ("memory",)})
    with pytest.raises(InputError, match="a memory is never averaged"):
        check_choices(config)
