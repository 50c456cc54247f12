"""Every command of docs/frozen_features.md, in its order, on generated videos with a small
network."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import media
from docs.small_networks import use_one_device
from jaxvision.cli.main import main
from jaxvision.trained_names import class_names

PAGE = Path(__file__).parents[2] / "docs" / "frozen_features.md"
# What makes the recipe small; the page's own settings stay.
SMALL = [
    *("--config.train.batch_size=8", "--config.train.epochs=2.0"),
    *("--config.evaluate.every_epochs=0.0", "--config.mesh.data=1"),
]
NETWORK = [
    *("--config.model.frames=4", "--config.model.image_size=(16,16)", "--config.model.patch=8"),
    *("--config.model.width=32", "--config.model.heads=2", "--config.model.depth=1"),
    "--config.init=()",
]


@pytest.mark.xdist_group("cli")
def test_the_page_leads_to_a_head(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    use_one_device(monkeypatch)
    media.bars(Path("videos"), train=4, validation=2)
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    said = []
    for program, verb, *words in (shlex.split(line) for line in "".join(blocks).splitlines()):
        assert program == "jaxvision"
        trains = SMALL if verb == "train" else []
        network = NETWORK if "videomae/own_head" in words else []
        assert main([verb, *words, *trains, *network]) == 0, capsys.readouterr().err
        said.append((verb, capsys.readouterr().out))
    verbs = [verb for verb, _ in said]
    assert verbs == ["train", "train", "evaluate", "predict", "export", "train"]

    first, second, evaluated, _, _, probe = (text for _, text in said)
    made = [re.findall(r"(\d+) to make", text) for text in (first, second, probe)]
    assert made == [["16", "4"], ["0", "0"], ["16", "4"]]
    assert "init: runs/head: 15 parameters loaded" in probe
    trained = json.loads(next(Path("runs/head/checkpoints").glob("*.results.json")).read_text())
    assert f"validation/top1: {trained['validation/top1']:.6g}" in evaluated
    answers = json.loads(Path("answers/predictions.json").read_text())
    assert len(answers) == 4
    assert class_names("exported") == ("falling", "rising")
    arrays = np.load("exported/variables.npz")
    assert any("encoder" in name for name in arrays)
    assert any("head" in name for name in arrays)
