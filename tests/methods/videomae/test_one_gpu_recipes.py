"""Every recipe of several GPUs has a version for one, which says how its settings were scaled."""

import ast
import re

import pytest

from jaxvision.errors import InputError
from jaxvision.methods.videomae.recipes import on_one_gpu
from jaxvision.training.config import difference, load_config, recipes
from jaxvision.training.schedules import make

OURS = {name: path for name, path in recipes().items() if name.startswith("videomae/")}
ONE = {name: path for name, path in OURS.items() if name.endswith("_1gpu")}
MADE_FOR_ONE = {"videomae/demo", "videomae/own_videos", "videomae/vit_h_k600_finetune"}


def test_none_is_forgotten():
    of_many = {name for name in OURS if name not in ONE}
    assert {name.removesuffix("_1gpu") for name in ONE} == of_many - MADE_FOR_ONE


@pytest.mark.parametrize("name", ONE)
def test_only_the_batch_differs_and_the_page_says_the_rate(name):
    one, many = load_config(name), load_config(name.removesuffix("_1gpu"))
    changed = {line.partition(":")[0] for line in difference(many.to_dict(), one.to_dict())}
    assert changed <= {"train.batch_size", "train.draw_groups"}
    text = ast.get_docstring(ast.parse(ONE[name].read_text()))
    text = text.replace("\n", " ")
    clips = int(re.search(r"of its \d+ GPUs: (\d+) clips", text)[1])
    gpus = int(re.search(r"so there are (\d+) times as many steps", text)[1])
    assert one.train.batch_size == clips == many.train.batch_size // gpus
    assert many.train.draw_groups in (1, gpus)
    assert f"--config {name} " in text
    # The rate that the engine's schedule reaches after the warm-up.
    scale = one.train.batch_size / one.optim.batch_scaling
    schedule = make(one.optim.learning_rate, 1000, 10, scale)
    reached = max(float(schedule(step)) for step in range(0, 1000, 10))
    said = float(re.search(r"its peak is (\S+) here", text)[1])
    assert reached == pytest.approx(said, rel=2e-3)


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(InputError, match="512 clips do not divide by 30 GPUs"):
        on_one_gpu("vit_b_k400_finetune", gpus=30)
