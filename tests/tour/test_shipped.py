"""Weights that come with the library: small, of today's recipes, with what was measured."""

from pathlib import Path

import jax
import numpy as np
import pytest

import jaxvision
from jaxvision.cli.main import main
from jaxvision.data.labelled_pictures import Digits
from jaxvision.downloads.shipped import FOLDER, shipped, shipped_names
from jaxvision.errors import InputError
from jaxvision.loading import read_named_weights
from jaxvision.networks import locate
from jaxvision.registry import load_config, make_task
from jaxvision.trained_names import class_names
from jaxvision.training.config import recipes
from jaxvision.training.task import Task
from jaxvision.weights import convert
from jaxvision.weights.mapping import flatten
from jaxvision.weights.safetensors_file import read_safetensors

MOST_BYTES = 1_500_000
each = pytest.mark.parametrize("name", shipped_names())


@each
def test_they_are_small_and_say_where_they_are_from(name):
    weights = shipped(name)
    tensors, _ = read_safetensors(weights.folder / convert.VARIABLES)
    assert (weights.folder / convert.VARIABLES).stat().st_size <= MOST_BYTES
    parameters = {path: t for path, t in tensors.items() if path.startswith("params/")}
    assert {str(t.dtype) for t in parameters.values()} == {"float16"}
    assert sum(t.size for t in tensors.values()) == weights.parameters
    assert name in recipes()
    assert weights.recipe.partition(":")[0] == name
    assert name in weights.commands[-1]
    assert weights.measured
    assert all((weights.commit, weights.told, weights.version))


def test_the_page_about_them_has_what_was_measured():
    page = (Path(__file__).parents[2] / "docs" / "tour.md").read_text()
    for name in shipped_names():
        weights = shipped(name)
        assert f"| `{name}` | {weights.parameters:,} | {weights.told} |" in page


@each
def test_they_fit_the_recipe_of_today(name):
    weights = shipped(name)
    task = make_task(load_config(weights.recipe))
    shapes = jax.eval_shape(task.init, jax.random.key(0))
    shapes = {kind: tree for kind, tree in shapes.items() if kind not in Task.training_only}
    wanted = {path: leaf.shape for path, leaf in flatten(unboxed(shapes)).items()}
    found = flatten(read_named_weights(name).variables)
    assert {path: leaf.shape for path, leaf in found.items()} == wanted
    assert all(np.isfinite(leaf).all() for leaf in found.values())


def unboxed(tree):
    return jax.tree.map(
        lambda leaf: getattr(leaf, "value", leaf), tree, is_leaf=lambda x: hasattr(x, "names")
    )


def test_their_names_go_wherever_a_file_goes(tmp_path, capsys, monkeypatch):
    name = "sparseformer/demo"
    assert locate(name) == FOLDER / name
    assert main(["fetch", name]) == 0
    assert capsys.readouterr().out == f"{FOLDER / name}\n"
    assert class_names(name) == tuple("0123456789")
    # A file of that name here is meant before them.
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir(parents=True)
    assert str(locate(name)) == name
    with pytest.raises(InputError, match="no published weights of that name; did you mean 'spar"):
        locate("sparseformer/demu")


@each
def test_they_load_in_python(name):
    """Every weight has its place in the network and none is left over, or `load` refuses."""
    model, variables, preprocess = jaxvision.load(name)
    assert callable(model.apply)
    assert callable(preprocess)
    assert "params" in variables


def test_what_was_loaded_reads_digits():
    model, variables, preprocess = jaxvision.load("sparseformer/demo")
    digits = [Digits("validation")[number] for number in range(30)]
    pictures = np.concatenate([preprocess(np.asarray(d["picture"])) for d in digits])
    assert pictures.shape == (30, 32, 32, 3)
    logits = jax.jit(model.apply)(variables, pictures)
    names = class_names("sparseformer/demo")
    right = [
        names[int(k)] == str(d["label"]) for k, d in zip(logits.argmax(-1), digits, strict=True)
    ]
    assert sum(right) >= 29
