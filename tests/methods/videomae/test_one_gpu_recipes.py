"""A recipe of several GPUs runs on one: --config NAME:gpus=1."""

import ast
import re

import numpy as np
import pytest

from jaxvision.errors import InputError
from jaxvision.training.config import difference, load_config, recipes
from jaxvision.training.schedules import make

OURS = {name: path for name, path in recipes().items() if name.startswith("videomae/")}
MADE_FOR_ONE = {
    "videomae/demo",
    "videomae/own_head",
    "videomae/own_videos",
    "videomae/vit_h_k600_finetune",
}
OF_SEVERAL = sorted(OURS.keys() - MADE_FOR_ONE)


def peak(config, steps=1000) -> float:
    """The rate that the engine's schedule reaches after the warm-up."""
    scale = config.train.batch_size / config.optim.batch_scaling
    schedule = make(config.optim.learning_rate, steps, 10, scale)
    return float(schedule(np.arange(0, steps, 10)).max())


@pytest.mark.parametrize("name", OF_SEVERAL)
def test_only_the_batch_differs_and_the_rate_follows(name):
    many, one = load_config(name), load_config(f"{name}:gpus=1")
    changed = {line.partition(":")[0] for line in difference(many.to_dict(), one.to_dict())}
    assert changed <= {"train.batch_size", "train.draw_groups"}
    gpus = many.train.batch_size // one.train.batch_size
    assert gpus > 1
    assert many.train.draw_groups in (1, gpus)
    assert one.train.draw_groups == 1
    assert load_config(f"{name}:gpus={gpus}").to_dict() == many.to_dict()
    assert peak(one) == pytest.approx(peak(many) / gpus, rel=2e-3)
    text = ast.get_docstring(ast.parse(OURS[name].read_text()))
    clips = int(re.search(rf"On one GPU: {name}:gpus=1, (\d+) clips a step", text)[1])
    assert one.train.batch_size == clips


def test_bad_arguments_are_refused():
    for argument, why in (
        ("gpus=0", "'gpus': expected at least 1, got 0"),
        ("gpu=1", "no recipe argument 'gpu'; did you mean 'gpus'"),
    ):
        with pytest.raises(InputError, match=why):
            load_config(f"videomae/vit_b_k400_finetune:{argument}")
    with pytest.raises(InputError, match="takes no arguments, got 'gpus=1'"):
        load_config("videomae/demo:gpus=1")
