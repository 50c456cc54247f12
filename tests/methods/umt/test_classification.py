"""Fine-tuning UMT: from stage 1's weights, over the published scripts' settings."""

import jax
import numpy as np
import pytest
from flax import linen as nn
from ml_collections import ConfigDict

import media
from jaxvision.errors import InputError
from jaxvision.methods.umt.recipes import SCRIPTS, finetuning
from jaxvision.methods.umt.task import make_task
from jaxvision.methods.umt.transfer import from_k710, from_pretraining
from jaxvision.training import initialisation
from jaxvision.training.config import load_config
from jaxvision.training.loop import train
from jaxvision.weights.mapping import flatten, unflatten
from methods.umt.small import FRAMES, SIDE, WIDTH, stage1


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return media.bars(tmp_path_factory.mktemp("videos"), train=24, validation=12)


def small(root) -> ConfigDict:
    config = finetuning("k400", "b", gpus=2)
    config.dtype = "float32"
    config.model.update({"frames": FRAMES, "image_size": (SIDE, SIDE), "patch": 8})
    config.model.update({"width": WIDTH, "heads": 2, "depth": 3, "drop_path": 0.0})
    config.model.init_scale = 1.0
    config.task.update({"flip": False, "rand_augment": "", "erase_probability": 0.0})
    config.task.update({"mixup_alpha": 0.0, "cutmix_alpha": 0.0, "test": True, "segments": 2})
    config.data.update({"train": str(root / "train"), "validation": str(root / "validation")})
    config.train.batch_size, config.train.epochs, config.train.steps = 8, 0.0, 160
    config.optim.batch_scaling = 0
    config.optim.learning_rate = ConfigDict({"name": "constant", "value": 1.5e-3})
    config.init = ()
    return config


def test_a_run_learns_and_evaluates(videos, tmp_path):
    config = small(videos)
    results = train(make_task(config), config, tmp_path, None, jax.devices()[:2])
    assert results["validation/top1"] > 0.8
    assert results["test/top1"] > 0.8


def shapes_of(task) -> dict:
    """Zeros in the shape of every variable, by path."""
    variables = nn.unbox(jax.eval_shape(task.init, jax.random.key(0)))
    return {path: np.zeros(leaf.shape, np.float32) for path, leaf in flatten(variables).items()}


def test_stage_1_starts_a_classifier(videos):
    """Encoder in; heads, teacher and the encoder's norm out; norm and head fresh."""
    classifier = shapes_of(make_task(small(videos)))
    student = {path: leaf + 1 for path, leaf in shapes_of(make_task(stage1())).items()}
    link = {"from": "stage1", **from_pretraining()}
    variables, (report,) = initialisation.apply(
        unflatten(classifier), [link], lambda _: unflatten(student)
    )
    ones = {path for path, leaf in flatten(variables).items() if (np.asarray(leaf) == 1).all()}
    fresh = {f"params/{p}" for p in ("head/bias", "head/kernel", "norm/bias", "norm/scale")}
    assert set(report.kept) == fresh
    assert ones == set(classifier) - fresh


def test_kinetics_710_s_head_becomes_that_of_400():
    """UMT's order begins with Kinetics-400."""
    head = {"params": {"head": {"kernel": np.arange(710.0)[None], "bias": np.arange(710.0)}}}
    target = {"params": {"head": {"kernel": np.zeros((1, 400)), "bias": np.zeros(400)}}}
    link = {"from": "k710", **from_k710(400)}
    variables, _ = initialisation.apply(target, [link], lambda _: head)
    np.testing.assert_array_equal(variables["params"]["head"]["bias"], np.arange(400))


def test_rows_of_kinetics_600_and_700_need_their_file(tmp_path):
    head = {"params": {"head": {"bias": np.arange(710.0)}}}
    target = {"params": {"head": {"bias": np.zeros(600)}}}
    link = {"from": "k710", **from_k710(600, str(tmp_path / "label_mixto600.json"))}
    with pytest.raises(InputError, match=r"label_mixto600\.json"):
        initialisation.apply(target, [link], lambda _: head)
    (tmp_path / "label_mixto600.json").write_text(str(list(range(109, 709))))
    variables, _ = initialisation.apply(target, [link], lambda _: head)
    np.testing.assert_array_equal(variables["params"]["head"]["bias"], np.arange(109, 709))


@pytest.mark.parametrize(
    ("labels", "name"), [(labels, name) for labels in SCRIPTS for name in SCRIPTS[labels]]
)
def test_every_published_script_has_its_recipe(labels, name):
    size, _, form = name.partition("_")
    recipe = f"umt/finetune:set={labels},size={size}" + (f",form={form}" if form else "")
    config = load_config(recipe)
    script = SCRIPTS[labels][name]
    assert config.train.batch_size == script.gpus * script.clips
    assert config.init[0]["from"].startswith(f"{size}16_ptk710_")
    # One GPU of the published ones: the same rate a crop.
    one = load_config(f"{recipe},gpus=1")
    assert one.train.batch_size == script.clips
    assert one.optim.learning_rate.peak == config.optim.learning_rate.peak


def test_a_script_that_is_not_there_is_refused():
    for argument, message in (
        ("set=k40", "'set' 'k40'; did you mean 'k400'"),
        ("set=ssv2,form=f16", "no published script of ssv2 is called 'b_f16'; there are b, l"),
    ):
        with pytest.raises(InputError, match=message):
            load_config(f"umt/finetune:{argument}")
