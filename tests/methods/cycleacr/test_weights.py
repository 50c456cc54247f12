"""Official names: all of a network's variables have one, both ways, and files are told apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxvision.methods.cycleacr.pretrained import official_model, published, recognise
from jaxvision.methods.cycleacr.variants import VARIANTS, build, model_table
from jaxvision.methods.cycleacr.weights import detector_entries
from jaxvision.nn.resnet3d_config import NormConfig, strided_network
from jaxvision.registry import load_config, make_task
from jaxvision.training import initialisation
from jaxvision.weights import to_state_dict, to_variables
from jaxvision.weights.mapping import flatten
from jaxvision.weights.resnet3d_entries import pyslowfast_entries

SMALL = {"head_width": 8, "hidden": 8, "before": 1, "after": 1, "levels": 2, "cycle_depth": 1}
BACKBONES = {
    "slowfast": {"backbone": "slowfast", "depth": 50, "stem_width": 8, "frames": 8},
    "swin": {
        "backbone": "swin",
        "frames": 8,
        "swin_width": 8,
        "swin_depths": (1, 1),
        "swin_heads": (1, 2),
        "swin_window": (2, 2, 2),
    },
    "vit": {"backbone": "vit", "frames": 4, "width": 8, "heads": 2, "layers": 2, "image_size": 32},
}


@pytest.mark.parametrize("kind", BACKBONES)
def test_every_variable_has_a_name_and_comes_back(kind):
    table = model_table() | SMALL | BACKBONES[kind] | {"fusion": "concat"}
    model = build(table, 5, "float32")
    clip = jnp.zeros((1, table["frames"], 64, 64, 3))
    clips = (clip[:, ::4], clip) if kind == "slowfast" else (clip,)
    boxes, exists = jnp.zeros((1, 1, 4)), jnp.ones((1, 1), bool)
    window = jnp.zeros((1, 3, 5, 8))
    shapes = nn.unbox(jax.eval_shape(model.init, jax.random.key(0), clips, boxes, exists, window))
    entries = detector_entries(model)
    names = [entry.name for entry in entries]
    assert len(set(names)) == len(names)
    state = {
        entry.name: np.random.default_rng(number).standard_normal(entry.shape).astype(np.float32)
        for number, entry in enumerate(entries)
    }
    variables, unused = to_variables(state, entries)
    found = {path: leaf.shape for path, leaf in flatten(variables).items()}
    assert found == {path: leaf.shape for path, leaf in flatten(shapes).items()}
    back = to_state_dict(variables, entries, unused)
    assert list(back) == names
    for name, value in state.items():
        np.testing.assert_array_equal(back[name], value)


@pytest.mark.parametrize("name", ["slowfast_r50", "slowfast_r101_k700", "swin_b_k600", "vit_b"])
def test_a_file_is_told_by_its_tensors(name):
    entries = official_model(name).entries
    tensors = {entry.name: np.broadcast_to(np.float32(0), entry.shape) for entry in entries}
    found = recognise(tensors)
    assert found is not None
    assert found.name == f"cycleacr/{name}"
    without = {key: value for key, value in tensors.items() if not key.startswith("roi_heads.")}
    start = recognise(without)
    if name == "vit_b":
        assert start is None
        return
    # A backbone's file: other prefixes, and a classifier that has no place.
    renamed = {f"module.{key.removeprefix('backbone.')}": each for key, each in without.items()}
    renamed["module.cls_head.weight"] = np.zeros((4, 4), np.float32)
    start = recognise(renamed)
    assert start is not None
    variables, unused = to_variables(renamed, start.entries)
    assert "module.cls_head.weight" in unused
    assert set(variables["params"]) == {"network"}


def test_published_weights_are_listed():
    rows = {row["network"]: row for row in published()}
    assert set(rows) == {f"cycleacr/{name}" for name in VARIANTS}
    assert rows["cycleacr/vit_l_k700"]["AVA 2.2"] == "40.6 % mAP"


def started(recipe, source):
    """What the recipe's first link of `init` does with these variables: its report."""
    task = make_task(load_config(recipe))
    shapes = nn.unbox(jax.eval_shape(task.init, jax.random.key(0)))
    _, (report,) = initialisation.apply(shapes, task.config.init, lambda name: source)
    return report


def test_a_videomae_classifier_starts_the_transformer():
    """The published rules: no head, and no norm, which a classifier has behind its pooling."""
    encoder = {"patch": np.zeros(0)}
    source = {"params": {"head": encoder, "norm": encoder, "encoder": {}}}
    task = make_task(load_config("cycleacr/ava_vit_l_k700:start=FILE"))
    shapes = nn.unbox(jax.eval_shape(task.init, jax.random.key(0)))["params"]["backbone"]["network"]
    source["params"]["encoder"] = jax.tree.map(
        lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), shapes["encoder"]
    )
    report = started("cycleacr/ava_vit_l_k700:start=FILE", source)
    assert report.dropped == ["params/head/patch", "params/norm/patch"]
    kept = {path.removeprefix("params/backbone/network/") for path in report.kept}
    assert kept == {"norm/scale", "norm/bias"}


# Some of Caffe2's names; all others are tested with `caffe2_names`.
CAFFE2 = {
    "s1.pathway0_stem.conv.weight": "conv1_w",
    "s1.pathway1_stem.bn.running_var": "t_res_conv1_bn_riv",
    "s3_fuse.conv_f2s.weight": "t_res3_3_branch2c_bn_subsample_w",
    "s4.pathway0_res5.branch2.b.weight": "res4_5_branch2b_w",
    "s5.pathway1_res0.branch1_bn.bias": "t_res5_0_branch1_bn_b",
}


def test_caffe2_weights_start_slowfast():
    """All but the lateral convolutions, which are of another kind here."""
    network = strided_network(50, two_pathways=True, norm=NormConfig())
    blobs = {"lr": np.zeros(1, np.float32), "pred_w": np.zeros((4, 4), np.float32)}
    for entry in pyslowfast_entries(network, "", "params"):
        if not entry.name.endswith("num_batches_tracked"):
            name = CAFFE2.get(entry.name, entry.name)
            blobs[name] = np.broadcast_to(np.float32(0), entry.shape)
    assert blobs.keys() >= set(CAFFE2.values())
    found = recognise(blobs)
    assert found is not None
    variables, unused = to_variables(blobs, found.entries)
    assert set(unused) == {"lr", "pred_w"}
    report = started("cycleacr/ava_slowfast_r50:start=FILE.pkl", variables)
    assert {path.split("/")[2] for path in report.dropped} == {f"fusion_{n}" for n in range(1, 5)}
    kept = [path for path in report.kept if path.startswith("params/backbone/")]
    assert len(kept) == 8
    assert all("fusion_" in path for path in kept)
