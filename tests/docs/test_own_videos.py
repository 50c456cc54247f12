"""Every command of docs/own_videos.md, in its order, on generated videos with a small network."""

import csv
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from docs.small_networks import use_one_device
from jaxvision.cli.main import main
from jaxvision.viz.files import write_mp4

PAGE = Path(__file__).parents[2] / "docs" / "own_videos.md"
# What makes the recipe small; the page's own settings stay.
SMALL = [
    "--config.model.frames=4",
    "--config.model.image_size=(16,16)",
    "--config.model.patch=8",
    "--config.model.width=32",
    "--config.model.heads=2",
    "--config.model.depth=1",
    "--config.dtype=float32",
    "--config.init=()",
    "--config.train.batch_size=8",
    "--config.train.epochs=1.0",
    "--config.optim.learning_rate.warmup_epochs=0",
    "--config.mesh.data=1",
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.xdist_group("cli")
def test_the_page_leads_to_a_model(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    use_one_device(monkeypatch)
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("validation", 2)):
        for name in ("falling", "rising"):
            folder = Path("videos") / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                clip = rng.integers(0, 256, (9, 32, 48, 3), np.uint8)
                write_mp4(folder / f"{name}{number}.mp4", clip, 8)
    commands = [shlex.split(line) for block in blocks("sh") for line in block.splitlines()]
    verbs = [command[1] for command in commands]
    assert verbs == ["prepare", "prepare", "inspect", "train", "evaluate", "predict", "export"]
    for program, *words in commands:
        assert program == "jaxvision"
        small = SMALL if words[0] in ("inspect", "train") else []
        assert main([*words, *small]) == 0, capsys.readouterr().err
        if words[0] == "inspect":
            looked = capsys.readouterr().out
            assert re.search(r"^labels: (falling|rising) \d", looked, re.MULTILINE)
            assert "data: 8 videos of 2 classes: falling 4, rising 4" in looked
            assert "validation: 4 videos of 2 classes: falling 2, rising 2" in looked

    assert Path("look/batch_video.png").is_file()
    results = json.loads(Path("results/results.json").read_text())
    assert 0 <= results["test/top1"] <= 1
    with open("results/test_answers.csv") as stream:
        said = list(csv.DictReader(stream))
    right = [row["rank"] == "1" for row in said]
    assert np.mean(right) == pytest.approx(results["test/top1"])
    assert {Path(row["record"]).parent.name for row in said} == {"falling", "rising"}
    assert Path("results/test_worst.png").is_file()
    assert Path("results/test_classes.csv").read_text().count("\n") == 3
    with open("answers/predictions.csv") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["class"] for row in rows} == {"falling", "rising"}
    assert len(rows) == 2 * 4
    (code,) = blocks("python")
    capsys.readouterr()
    exec(compile(code, str(PAGE), "exec"), {})
    printed = np.array(re.findall(r"\d\.\d*", capsys.readouterr().out), float).reshape(2, 2)
    np.testing.assert_allclose(printed.sum(axis=1), 1, atol=1e-4)
