"""Golden runners of VideoMAE: names, shapes and what becomes of a checkpoint in another network."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from golden_case import Case, runner
from golden_runners.videomae import pretraining_model as pretraining_of
from golden_runners.videomae_classification import classifier, normalised
from jaxvision.methods.videomae import transfer, variants
from jaxvision.methods.videomae.model import MaskedAutoencoder
from jaxvision.methods.videomae.weights import pretraining_entries
from jaxvision.ops.position_tables import resize_spatial, resize_temporal
from jaxvision.training import initialisation
from jaxvision.weights import Entry, to_variables
from jaxvision.weights.mapping import flatten
from jaxvision.weights.video_transformer_entries import classification_entries


@runner("videomae", "models/__init__.py (all ten factories)")
def names_and_shapes(case: Case) -> dict:
    sizes = {"small": "s", "base": "b", "large": "l", "huge": "h", "giant": "g"}
    answers = {}
    for factory, tensors in case.config.items():
        size = next(size for name, size in sizes.items() if f"_{name}_" in factory)
        if factory.startswith("pretrain"):
            depth = 1 + max(
                int(name.split(".")[2]) for name in tensors if name.startswith("decoder.blocks.")
            )
            model = variants.pretraining_model(size, decoder_depth=depth)
        else:
            model = variants.classification_model(size, tensors["head.bias"][0])
        entries = entries_of(model)
        assert [(e.name, list(e.shape)) for e in entries] == list(tensors.items()), factory
        leaves = flatten(abstract(model))
        assert {entry.path for entry in entries} == set(leaves), factory
        answers[f"num_params/{factory}"] = sum(leaf.size for leaf in leaves.values())
        answers[f"num_tensors/{factory}"] = len(entries)
    return answers


def entries_of(model) -> list[Entry]:
    if isinstance(model, MaskedAutoencoder):
        return pretraining_entries(model)
    return classification_entries(model)


def abstract(model) -> dict:
    """The shapes of a network's variables; nothing is computed."""
    grid = model.grid
    arguments = [jnp.zeros((1, grid.frames, *grid.image_size, 3))]
    if isinstance(model, MaskedAutoencoder):
        arguments += [jnp.zeros((1, 1), jnp.int32)] * 2
    return nn.unbox(jax.eval_shape(model.init, jax.random.key(0), *arguments))


@runner(
    "videomae",
    "misc/label_710to{400,600,700}.json",
    ignores={"map_*": "says in words what the output of this name is"},
)
def label_maps(case: Case) -> dict:
    return {name: transfer.k710_rows(int(name.removeprefix("map_"))) for name in case.outputs}


@runner(
    "videomae",
    "run_class_finetuning.py:main (head conversion)",
    fixed={"kind": "finetune"},
)
def head_conversion(case: Case) -> dict:
    model = classifier(case.config)
    source, _ = to_variables(case.state_dict(), classification_entries(model))
    video = normalised(case.input("video01"))
    answers = {}
    for name in case.outputs:
        classes = int(name.removeprefix("logits_"))
        target = model.clone(classes=classes)
        link = {"from": "k710"}
        if classes != model.classes:
            link |= transfer.from_k710(classes)
        variables, (report,) = initialisation.apply(abstract(target), [link], lambda _: source)
        assert not report.kept
        answers[name] = jax.jit(target.apply)(variables, video)
    return answers


@runner(
    "videomae",
    "run_class_finetuning.py:main (loading of --finetune)",
    fixed={"kind": "pretrain_to_finetune"},
    ignores={
        "checkpoint_key": "of the file; tests/goldens/torch_files has such wrappings",
        "name_prefix_in_file": "of the file; tests/goldens/torch_files has such prefixes",
    },
)
def pretraining_to_classifier(case: Case) -> dict:
    pretrained, target = (
        pretraining_of(case.config["pretrain"]),
        classifier(case.config["finetune"]),
    )
    tensors, entries = case.state_dict(), classification_entries(target)
    official = pretraining_entries(pretrained)
    source, _ = to_variables({e.name: tensors[e.name] for e in official}, official)
    fresh = {name: tensors[name] for name in case.config["fresh"]}
    # What the classifier would have drawn for itself is the rule's value here.
    start = dict(flatten(abstract(target)))
    start |= flatten(to_variables(fresh, [e for e in entries if e.name in fresh])[0])
    link = {"from": "pretraining", **transfer.from_pretraining(target.pooling)}
    variables, (report,) = initialisation.apply(start, [link], lambda _: source)
    copied = [e.name for e in entries if e.path in report.loaded]
    assert sorted(copied) == sorted(n for n in case.config["name_map"].values() if n is not None)
    assert sorted(report.kept) == sorted({e.path for e in entries if e.name in fresh})
    video = normalised(case.input("video01"))
    return {
        "features": jax.jit(functools.partial(target.apply, features=True))(variables, video),
        "logits": jax.jit(target.apply)(variables, video),
        "num_copied": len(copied),
        "num_dropped": sum(e.path in report.dropped for e in official),
    }


@runner("videomae", "run_class_finetuning.py:main (position interpolation)")
def positions(case: Case) -> dict:
    answers = {}
    for name, settings in case.config.items():
        table = case.input(f"table_{name}")[0]
        old, new = settings["old"], settings["new"]
        if settings["axis"] == "spatial":
            shape = (settings["tubelet_rows"], old, old)
            resized = resize_spatial(table, shape, (new, new))
        else:
            shape = (old, settings["grid"], settings["grid"])
            resized = resize_temporal(table, old, new)
        assert table.shape == (np.prod(shape), settings["dim"])
        answers[f"{settings['axis']}_{name}"] = np.asarray(resized)[None]
    return answers
