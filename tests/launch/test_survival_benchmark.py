"""What benchmarks/survival.py makes of its kills; the kills themselves are in its own run."""

import json

import numpy as np

from benchmarks.loss_over_kills import Death, draw
from benchmarks.survival import Kill, losses, table


def test_the_picture_shows_both_runs_and_every_life():
    expected = {step: 1 / step for step in range(1, 21)}
    logged = [*list(expected.items())[:12], *list(expected.items())[8:]]
    image = np.asarray(draw(expected, logged, [Death(12, 12, "process 1")]))
    colours = {tuple(colour) for colour in image.reshape(-1, 3)}
    for wanted in ("bebebe", "1f77b4", "d62728", "888888"):  # alone, two lives, the kill
        assert tuple(bytes.fromhex(wanted)) in colours
    assert tuple(bytes.fromhex("2ca02c")) not in colours


def test_the_table_counts_by_moment():
    kills = [
        Kill(0, "any", 1, rows=9, step=9, saved=8, seconds=2.0),
        Kill(0, "any", 0, rows=20, step=19, saved=12, problem="another loss", seconds=4.0),
        Kill(1, "saving", 0, rows=4, step=4, saved=0),
    ]
    lines = table(kills).splitlines()
    assert lines[2] == "| any | 2 | 1 | 4, 7 | 3, 4 |"
    assert lines[3] == "| stepping | 0 | 0 | - | - |"
    assert lines[4] == "| saving | 1 | 1 | 4, 4 | - |"


def test_a_half_written_line_is_not_a_loss(tmp_path):
    assert losses(tmp_path) == []
    rows = [{"step": 1, "loss": 0.5}, {"step": 1, "evaluate/loss": 0.4}, {"step": 2, "loss": 0.25}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "metrics.jsonl").write_text(text + '{"step": 3, "lo')
    assert losses(tmp_path) == [(1, 0.5), (2, 0.25)]
