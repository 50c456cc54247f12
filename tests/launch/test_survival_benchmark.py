"""benchmarks/survival.py: what it sees in a workdir, and a real kill."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import survival_checks as checks
from benchmarks.loss_over_kills import Death, draw
from benchmarks.survival import Life, table
from jaxvision.training import manifest

ROOT = Path(__file__).resolve().parents[2]


def test_the_picture_shows_both_runs_and_every_life():
    expected = {step: 1 / step for step in range(1, 21)}
    logged = [*list(expected.items())[:12], *list(expected.items())[8:]]
    image = np.asarray(draw(expected, logged, [Death(12, 12, "process 1")]))
    colours = {tuple(colour) for colour in image.reshape(-1, 3)}
    for wanted in ("bebebe", "1f77b4", "d62728", "888888"):  # alone, two lives, the kill
        assert tuple(bytes.fromhex(wanted)) in colours
    assert tuple(bytes.fromhex("2ca02c")) not in colours


def test_the_table_counts_by_processes_and_moment():
    lives = [
        Life(run=0, processes=1, moment="any", victims=[0], step=9, saved=8, leaves=5, seconds=2.0),
        Life(run=0, processes=1, moment="any", victims=[0], step=19, saved=12, problems=["x"]),
        Life(run=1, processes=1, moment="saving", victims=[0], mid_save=True, step=4),
        Life(run=1, processes=1, moment="any", step=40, saved=40, leaves=5, seconds=4.0),
    ]
    lines = table(lives).splitlines()
    assert lines[2] == "| 1 | any | 2 | 0 | 1 | 5 | 4, 7 | 2, 2 |"
    assert lines[3] == "| 1 | stepping | 0 | 0 | 0 | 0 | - | - |"
    assert lines[4] == "| 1 | saving | 1 | 1 | 1 | 0 | 4, 4 | - |"
    assert lines[5] == "| 1 | all kills | 3 | 1 | 2 | 5 | 4, 7 | 2, 2 |"
    assert lines[6] == "| 1 | ends | 1 | 0 | 1 | 5 | 0, 0 | 4, 4 |"


def test_a_half_written_line_is_not_a_loss(tmp_path):
    assert checks.losses(tmp_path) == []
    rows = [{"step": 1, "loss": 0.5}, {"step": 1, "evaluate/loss": 0.4}, {"step": 2, "loss": 0.25}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "metrics.jsonl").write_text(text + '{"step": 3, "lo')
    assert checks.losses(tmp_path) == [(1, 0.5), (2, 0.25)]


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ([], []),
        ([(5, 0.5), (6, 0.6)], []),
        ([(6, 0.6)], ["steps [6] after step 4"]),
        ([(5, 0.5), (5, 0.5)], ["steps [5, 5] after step 4"]),
        ([(5, 0.5), (6, 0.5)], ["another loss at step 6"]),
    ],
)
def test_a_sample_lost_or_repeated_is_seen(new, said):
    assert checks.wrong_losses(new, 4, {5: 0.5, 6: 0.6}) == said


def test_half_steps_and_half_saves_are_seen(tmp_path):
    folder = tmp_path / "checkpoints"
    for step in (4, 8):
        (folder / f"{step:08d}").mkdir(parents=True)
        (folder / f"{step:08d}" / "info.json").write_text("{}")
    (tmp_path / "run.json").write_text('{"run": "a"}')
    manifest.write(folder / "00000004", folder / "00000004", {"run": "a", "step": 4})
    assert checks.committed(tmp_path) == [4]  # 8 was never committed
    marker = f"Checkpoint commit was successful to {folder / '00000004'}"
    (folder / "00000004" / manifest.COMMIT_MARKER).write_text(marker)
    assert checks.half_steps(tmp_path) == []
    (folder / "00000004").rename(folder / "00000012")
    (line,) = checks.half_steps(tmp_path)
    assert line.endswith("00000012: its step is 4, not 12")
    assert not checks.being_saved(tmp_path)
    (folder / "00000008").rename(folder / "00000008.orbax-checkpoint-tmp-deleted")
    assert not checks.being_saved(tmp_path)
    (folder / "00000012").rename(folder / "00000012.orbax-checkpoint-tmp-0")
    assert checks.being_saved(tmp_path)
    assert not checks.being_saved(tmp_path, since=2e9 * 2)


def test_every_leaf_is_compared():
    mine = {"a": np.zeros(2), "b": np.float32(1)}
    assert checks.differing(mine, dict(mine)) == []
    theirs = {"a": np.array([0.0, -0.0]), "b": np.float64(1), "c": np.zeros(1)}
    assert checks.differing(mine, theirs) == ["a", "b", "c"]


@pytest.mark.xdist_group("processes")
def test_a_kill_is_survived(tmp_path):
    """The benchmark itself."""
    options = ("--alone=1", "--pairs=0", "--steps=6", "--every=2", f"--out={tmp_path}")
    done = subprocess.run(
        [sys.executable, "benchmarks/survival.py", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lives = [json.loads(row) for row in (tmp_path / "of1/lives.jsonl").open()]
    assert sum(bool(life["victims"]) for life in lives) == 1
    assert lives[-1]["saved"] == 6
    assert lives[-1]["leaves"] > 50
    assert not any(life["problems"] for life in lives)
