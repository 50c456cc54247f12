"""SparseFormer under the engine: a step learns, files in and files out, bad input is refused."""

import json
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from PIL import Image

from jaxvision.data.labelled_pictures import Digits, picture_folder, picture_list
from jaxvision.errors import InputError
from jaxvision.loading import load_run, read_weights
from jaxvision.methods.sparseformer.task import make_task
from jaxvision.methods.sparseformer.variants import VARIANTS, find_variant
from jaxvision.nn.transformer import drop_branches
from jaxvision.training.config import load_config, recipes
from jaxvision.training.loop import train

SMALL = (
    "model.cortex=1",
    "model.repeats=1",
    "model.widths=(32, 32)",
    "model.channels=8",
    "train.batch_size=16",
    "train.steps=4",
    "data.size=16",
    "data.short_side=16",
    "evaluate.every_steps=0",
    "checkpoint.every_steps=4",
    "log.pictures_every_steps=4",
)


@pytest.fixture
def folder(tmp_path):
    """Twenty pictures of two classes."""
    rng = np.random.default_rng(0)
    root = tmp_path / "pictures"
    for label, name in enumerate(("dark", "light")):
        (root / name).mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(0, 100, (20, 24, 3)) + 150 * label
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number}.png")
    return root


def config_of(folder, *overrides):
    own = ("data.name=folder", f"data.train={folder}", f"data.validation={folder}")
    return load_config("sparseformer/demo", (*SMALL, *own, *overrides))


NETWORKS = [name for name in recipes() if re.match("sparseformer/(?!own)", name)]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_recipe_describes_a_network(name):
    config = load_config(name, ("data.name=digits",))
    task = make_task(config)
    variant = name.removeprefix("sparseformer/")
    published = find_variant(variant if variant in VARIANTS else "tiny")
    assert task.model.architecture.flavour == published.flavour
    if variant in VARIANTS:
        ours = task.model.architecture
        assert (ours.tokens, ours.points, ours.units) == (
            published.tokens,
            published.points,
            published.units,
        )
    assert set(task.batch_specs("train")) == {"pictures"}
    shapes = jax.eval_shape(task.init, jax.random.key(0))
    assert nn.unbox(shapes)["params"]["head"]["kernel"].shape[1] == 10


@pytest.mark.xdist_group("sparseformer_task")
def test_training_on_ones_own_folder_and_predicting(folder, tmp_path):
    config = config_of(
        folder,
        "task.mixup_alpha=0.8",
        "task.cutmix_alpha=1.0",
        "task.erase_probability=0.25",
        "task.rand_augment=rand-m9-n2-mstd0.5-inc1",
        "model.drop_path=0.2",
    )
    task = make_task(config)
    assert task.class_names == ("dark", "light")
    results = train(task, config, tmp_path / "run", read_weights, jax.devices()[:1])
    assert 0 <= results["validation/top1"] <= 1
    assert list((tmp_path / "run" / "pictures").glob("sampling*.png"))

    out = tmp_path / "answers"
    out.mkdir()
    variables = nn.unbox(task.init(jax.random.key(0)))
    paths = [folder / "dark" / "0.png", folder / "light" / "0.png"]
    written = task.predict_files(variables, paths, out)
    assert {p.name for p in written} >= {"0_sampling.png", "0_2_sampling.png", "predictions.csv"}
    answers = json.loads((out / "predictions.json").read_text())
    assert sum(found["probability"] for found in answers[str(paths[0])]) == pytest.approx(1)
    # Two samplings, each a panel.
    assert Image.open(out / "0_sampling.png").size == (2 * 320, 320)

    # What the classes were called goes with the weights, whatever becomes of the folder.
    run, renamed = tmp_path / "run", folder.rename(tmp_path / "renamed")
    assert load_run(None, (), run, None)[0].class_names == ("dark", "light")
    (renamed / "dark").rename(renamed / "dim")
    with pytest.raises(
        InputError, match=r"data\.train: .*renamed\): class 0 is 'dim', .* with 'dark' there"
    ):
        load_run(None, (f"data.train={renamed}",), run, None)
    renamed.rename(folder)
    assert load_run(None, (), run, None)[0].class_names == ("dark", "light")
    with pytest.raises(InputError, match="class 0 is 'dim'"):
        load_run(None, (), run, None, compare_names=True)
    with pytest.raises(InputError, match=r"run: the data \(data\.train: .*\): class 0 is 'dim'"):
        train(make_task(config), config, run, read_weights, jax.devices()[:1])
    (folder / "dim").rename(folder / "dark")


def test_decay_leaves_vectors_and_boxes_alone():
    task = make_task(load_config("sparseformer/demo", SMALL))
    decay = {
        path: task.parameter_group(path, ()).decay
        for path in (
            "token_boxes",
            "token_embedding",
            "unit_1/mlp/up/kernel",
            "unit_0/mixing/generator_bias",
            "unit_0/mlp_norm/scale",
        )
    }
    assert list(decay.values()) == [0, 1, 1, 0, 0]


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    branch = jnp.ones((4000, 3))
    dropped = drop_branches(branch, 0.25, jax.random.key(0))
    rows = np.asarray(dropped)
    assert set(np.unique(rows.round(4))) == {0, np.float32(1.3333)}
    assert (rows == rows[:, :1]).all()
    assert rows.mean() == pytest.approx(1, abs=0.05)


def test_digits_held_out_are_never_trained_on():
    train_digits, held_out = Digits("train"), Digits("validation")
    assert (len(train_digits), len(held_out)) == (1437, 360)
    seen = {np.asarray(train_digits[i]["picture"]).tobytes() for i in range(1437)}
    assert not [i for i in range(360) if np.asarray(held_out[i]["picture"]).tobytes() in seen]


def test_a_corrupt_picture_is_named(folder):
    (folder / "dark" / "3.png").write_bytes(b"no picture")
    records = picture_folder(folder, ("dark", "light"))
    with pytest.raises(InputError, match=r"dark/3\.png: not a picture"):
        records[3]
    with pytest.raises(InputError, match=r"dark/3\.png: not a picture"):
        make_task(config_of(folder)).predict_files({}, [folder / "dark" / "3.png"], folder)


def test_an_empty_class_is_refused(folder):
    shutil.rmtree(folder / "light")
    (folder / "light").mkdir()
    with pytest.raises(InputError, match="light: an empty class"):
        make_task(config_of(folder)).source("train")


def test_a_folder_that_is_no_class_is_refused(folder):
    (folder / "labels.txt").write_text("dark\n")
    with pytest.raises(InputError, match="light: its name is none of the 1 classes"):
        make_task(config_of(folder, f"data.labels={folder / 'labels.txt'}")).source("train")


def test_classes_without_a_name_are_one_line(folder):
    with pytest.raises(InputError, match=r"data\.train: trian: no such folder or list"):
        _ = make_task(config_of(folder, "data.train=trian")).class_names
    with pytest.raises(InputError, match=r"nothing names the classes.*expected data\.train"):
        _ = make_task(config_of(folder, "data.train=")).class_names
    with pytest.raises(InputError, match=r"0\.png: a picture; expected a folder of class folders"):
        _ = make_task(config_of(folder, f"data.train={folder / 'dark' / '0.png'}")).class_names


def test_a_label_out_of_range_is_refused(folder):
    (folder / "list.txt").write_text("dark/0.png\t0\nlight/0.png\t2\n")
    with pytest.raises(InputError, match=r"list\.txt:2: label 2: expected 0 to 1"):
        picture_list(folder / "list.txt", 2)
    (folder / "list.txt").write_text("dark/0.png 0\n")
    with pytest.raises(InputError, match="expected a path, a tab and a label"):
        picture_list(folder / "list.txt", 2)


def test_misspelt_settings_name_the_nearest(folder):
    with pytest.raises(InputError, match="did you mean 'paper'"):
        _ = make_task(config_of(folder, "model.flavour=papr")).model
    with pytest.raises(InputError, match="did you mean 'folder'"):
        make_task(load_config("sparseformer/demo", ("data.name=folders",))).evaluations()
