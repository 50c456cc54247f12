"""Small networks that stand for published ones, and trainings that end before their first step, so
that the commands of a page take seconds."""

import os
from collections.abc import Callable, Collection
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import linen as nn

from docs import page_files as files
from docs.page_table import Page
from jaxvision import loading, networks, trained_names
from jaxvision.data.actions import prepare_ava
from jaxvision.data.actions.prepare_ava import Cut
from jaxvision.downloads import published_file
from jaxvision.methods.pdpp.classifier import TaskClassifier
from jaxvision.methods.pdpp.task import ClassifierTask
from jaxvision.methods.pdpp.weights import classifier_entries
from jaxvision.methods.stmixer import decoder
from jaxvision.methods.umt.language.question_answering import VideoQuestions
from jaxvision.methods.umt.language.weights import question_entries
from jaxvision.nn import sparse
from jaxvision.nn.video_transformer import VideoClassifier
from jaxvision.ops.sparse_voxels import kernel_map
from jaxvision.registry import load_config, make_task
from jaxvision.training import loop
from jaxvision.training import run as training_run
from jaxvision.training.checkpoint import Checkpoints
from jaxvision.training.config import as_json, check_choices, leaves
from jaxvision.training.mesh import make_mesh
from jaxvision.training.run_record import CLASSES, open_workdir, record_config
from jaxvision.training.sharding import put
from jaxvision.weights.mapping import Entry
from jaxvision.weights.official import OfficialModel
from jaxvision.weights.torch_writer import write_torch_file
from jaxvision.weights.video_transformer_entries import classification_entries

# Official names of networks that no demo's task trains.
BESIDE_DEMOS: dict[type, Callable[[Any], list[Entry]]] = {
    VideoClassifier: classification_entries,
    VideoQuestions: question_entries,
    TaskClassifier: partial(classifier_entries, data_parallel=False),
}
OFFICIAL_MODEL, RECOGNISE = networks.official_model, networks.recognise


def put_in_place(monkeypatch: pytest.MonkeyPatch, page: Page, asked: Collection[str]) -> None:
    """For one test: what is below, instead of published networks, downloads, trainings and films of
    hours.  asked: words of the page's other commands, among them the workdirs that they ask for."""
    here = Path.cwd()
    (here / "fetched").write_bytes(b"weights")
    monkeypatch.setenv("JAXVISION_CACHE", str(here / "cache"))
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # what is prepared is so in this process
    monkeypatch.setattr(loop, "train", partial(begun, saved=asked))
    for owner, name, traced in TRACED_ONCE:
        monkeypatch.setattr(owner, name, traced)
    use_one_device(monkeypatch)
    monkeypatch.setattr(published_file, "in_hub_cache", lambda *_: here / "fetched")
    for module in (loading, networks, trained_names):
        monkeypatch.setattr(module, "official_model", partial(official, page=page))
    for module in (loading, networks):
        monkeypatch.setattr(module, "recognise", partial(recognised, page=page))
    monkeypatch.setitem(prepare_ava.CUTS, "seconds", Cut(8, files.AVA_SECONDS, 64))


def use_one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program for one device is compiled sooner than one for the tests' eight."""
    for module in (loading, training_run):
        monkeypatch.setattr(module, "make_mesh", on_one_device)


def on_one_device(axes: dict[str, int], devices: Any = None) -> jax.sharding.Mesh:
    """In place of `make_mesh`."""
    return make_mesh(axes, jax.devices()[:1])


def fitted(words: list[str], page: Page) -> list[str]:
    """A command's words with the page's small settings, those that its recipe has."""
    if "--config" not in words or words[0] not in ("train", "inspect", "predict", "evaluate"):
        return words
    return [*words, *fitting(words[words.index("--config") + 1], page.small)]


def fitting(recipe: str, settings: tuple[str, ...]) -> list[str]:
    """Those of `settings` that a recipe has. KEY@WORD: of recipes with that word in their name."""
    known = dict(leaves(load_config(recipe)))
    found = {}
    for key, _, value in (word.partition("=") for word in settings):
        key, _, only = key.partition("@")
        if only in recipe.partition(":")[0]:
            found[key] = value
    return [f"--config.{key}={value}" for key, value in found.items() if key in known]


def begun(task, config, workdir, read_weights, recipe="", *, saved: Collection[str], **_):
    """In place of `loop.train`: all that comes before the first compilation, then a workdir with a
    checkpoint of made-up weights.  saved: the workdirs that are asked for anything."""
    check_choices(config)
    classes = list(task.class_names)
    with open_workdir(workdir, config, {"recipe": recipe, CLASSES: classes}):
        run = training_run.prepare_run(task, config)
        assert run.data[0].names
        rng = np.random.default_rng(0)

        def made(leaf):
            values = 0.1 * rng.standard_normal(leaf.shape)
            return put(np.abs(values).astype(leaf.dtype), leaf.sharding)

        if str(workdir) in saved:
            with Checkpoints(workdir) as checkpoints:
                info = {"config": as_json(config), CLASSES: classes}
                state = run.target.replace(optimizer={})
                checkpoints.save(1, jax.tree.map(made, state), info)
                checkpoints.close()
        record_config(workdir, config)
    return {}


def small_network(name: str, page: Page) -> OfficialModel:
    """The small network that stands for a published one, with its tensors' official names."""
    recipe, method = page.networks[name], name.partition("/")[0]
    overrides = [word.removeprefix("--config.") for word in fitting(recipe, page.small)]
    task = make_task(load_config(recipe, overrides))
    model = task.classifier if isinstance(task, ClassifierTask) else task.model
    for kind, entries in BESIDE_DEMOS.items():
        if isinstance(model, kind):
            return OfficialModel(name, model, entries(model), NotImplemented)
    module = import_module(f"jaxvision.methods.{method}.pretrained")
    return module.network_of(task, name)


def official(name: str, tensors: Any = (), dtype: str = "float32", *, page: Page) -> OfficialModel:
    """In place of `networks.official_model`."""
    return (
        small_network(name, page) if name in page.networks else OFFICIAL_MODEL(name, tensors, dtype)
    )


def recognised(tensors: Any, source: str, *, page: Page) -> OfficialModel:
    """In place of `networks.recognise`."""
    if source in page.weights:
        return small_network(page.weights[source], page)
    return RECOGNISE(tensors, source)


def publish(file: str, name: str, page: Page) -> None:
    """A file as the network called `name` was published, with made-up values."""
    rng = np.random.default_rng(0)
    values = {
        entry.name: np.asarray(np.abs(0.1 * rng.standard_normal(entry.shape)), entry.dtype)
        for entry in small_network(name, page).entries
    }
    write_torch_file(Path(file), {"model": values})


def traced_once(usual: Callable) -> Callable:
    """A function of arrays, or a method of modules: for equal ones, of whatever commands, and
    inputs of the same shapes and types, it is traced once."""

    @cache
    def traced(structure: jax.tree_util.PyTreeDef, others: tuple) -> Callable:
        """Of the arrays among the arguments; others: what the rest of them are."""

        def function(arrays: list) -> Any:
            given = iter(arrays)
            leaves = [next(given) if leaf is None else leaf for leaf in others]
            arguments, named = jax.tree.unflatten(structure, leaves)
            return usual(*arguments, **named)

        return jax.jit(function)

    def function(*arguments: Any, **named: Any) -> Any:
        leaves, structure = jax.tree.flatten((arguments, named))
        arrays = [leaf for leaf in leaves if isinstance(leaf, (jax.Array, np.ndarray))]
        others = tuple(None if isinstance(x, (jax.Array, np.ndarray)) else x for x in leaves)
        return traced(structure, others)(arrays)

    return function


# Networks, and what takes long to trace and is called for equal shapes again and again.
TRACED_ONCE = [
    (owner, name, traced_once(getattr(owner, name)))
    for owner, name in (
        *((nn.Module, "init"), (nn.Module, "apply")),
        *((kernel_map, "find_runs"), (sparse, "sparse_convolution")),
        (decoder, "sampled_means"),
    )
]
