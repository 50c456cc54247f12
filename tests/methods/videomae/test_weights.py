"""Official VideoMAE files in and out: nothing missing, nothing left over, the same bytes."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import jaxvision
from jaxvision.cli.main import main
from jaxvision.errors import InputError
from jaxvision.loading import read_weights
from jaxvision.methods.videomae.hugging_face import from_official
from jaxvision.methods.videomae.transfer import from_pretraining
from jaxvision.methods.videomae.variants import PUBLISHED, VARIANTS
from jaxvision.networks import official_model, recognise
from jaxvision.training import initialisation
from jaxvision.weights import convert
from jaxvision.weights.checkpoint_file import read_checkpoint, write_checkpoint
from jaxvision.weights.mapping import flatten, unflatten
from round_trip import assert_same, official_tensors, round_trip


def abstract(network) -> dict:
    grid = network.model.grid
    arguments = [jnp.zeros((1, grid.frames, *grid.image_size, 3))]
    if hasattr(network.model, "decoder_depth"):
        arguments += [jnp.zeros((1, 1), jnp.int32)] * 2
    variables = nn.unbox(jax.eval_shape(network.model.init, jax.random.key(0), *arguments))
    return {path: tuple(leaf.shape) for path, leaf in flatten(variables).items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_described_in_full(variant):
    network = official_model(f"videomae/{variant}")
    assert convert.our_shapes(network.entries) == abstract(network)


def test_list_prints_the_published_weights(capsys):
    assert main(["list", "videomae"]) == 0
    printed = capsys.readouterr().out
    assert all(row.file in printed and f"videomae/{row.variant}" in printed for row in PUBLISHED)
    assert "16x2x3 sparse" in printed


def test_published_files_are_of_known_variants():
    assert {row.variant for row in PUBLISHED} <= set(VARIANTS)
    assert len({row.file for row in PUBLISHED}) == len(PUBLISHED)


@pytest.mark.parametrize("variant", ["vit_b_pretrain", "vit_b_k400"])
def test_weights_come_back_byte_for_byte(tmp_path, variant):
    assert round_trip(f"videomae/{variant}", tmp_path) > 3e8


@pytest.mark.parametrize("variant", ["vit_s_pretrain", "vit_s_k710"])
def test_the_verb_brings_a_file_in_and_back_out(tmp_path, variant, capsys):
    network = official_model(f"videomae/{variant}")
    tensors = official_tensors(network, "float16" if variant == "vit_s_k710" else "float32")
    official, folder = tmp_path / "official.pth", tmp_path / "ours"
    write_checkpoint(official, tensors, "module", "module.")
    assert main(["convert", network.name, str(official), str(folder)]) == 0
    assert f"{len(tensors)} tensors of {network.name}" in capsys.readouterr().out
    assert main(["convert", network.name, str(folder), str(tmp_path / "back.pth")]) == 0
    assert_same(tmp_path / "back.pth", tensors)
    back = read_checkpoint(tmp_path / "back.pth")
    assert (back.key, back.prefix) == ("module", "module.")
    assert main(["convert", network.name, str(folder), str(tmp_path / "back.safetensors")]) == 0
    assert_same(tmp_path / "back.safetensors", tensors)


@pytest.mark.parametrize("variant", ["vit_s_pretrain", "vit_s_k400"])
def test_the_layout_of_transformers_comes_in_and_back_out(tmp_path, variant):
    network = official_model(f"videomae/{variant}")
    tensors = official_tensors(network)
    theirs = from_official(tensors)
    assert len(theirs) == len(tensors) + 2 * sum("qkv.weight" in name for name in tensors)
    first = (
        "decoder.decoder_layers.0" if variant.endswith("pretrain") else "videomae.encoder.layer.0"
    )
    inside = [n.removeprefix(f"{first}.") for n in theirs if n.startswith(f"{first}.")]
    assert inside[:6] == [
        "attention.attention.q_bias",
        "attention.attention.v_bias",
        "attention.attention.query.weight",
        "attention.attention.key.weight",
        "attention.attention.value.weight",
        "attention.output.dense.weight",
    ]
    # Their files are sorted by name; ours gives the order back that it was given.
    given = {name: theirs[name] for name in sorted(theirs)}
    write_checkpoint(tmp_path / "model.safetensors", given)
    converted = convert.from_file(tmp_path / "model.safetensors", network)
    assert converted.origin.layout == "hugging_face"
    convert.save(tmp_path / "ours", converted)
    loaded = convert.load(tmp_path / "ours")
    convert.to_file(tmp_path / "back.safetensors", loaded, network)
    assert_same(tmp_path / "back.safetensors", given)
    convert.to_file(tmp_path / "official.pth", loaded, network, "official")
    assert_same(tmp_path / "official.pth", tensors)
    assert recognise(given, "file").name == network.name


def test_a_checkpoint_of_another_variant_is_refused_with_a_list(tmp_path, capsys):
    small = official_tensors(official_model("videomae/vit_s_k400"))
    small["extra"] = np.zeros(3, np.float32)
    del small["head.bias"]
    write_checkpoint(tmp_path / "small.pth", small)
    for name in ("vit_b_k400", "vit_s_k710"):
        out = tmp_path / name
        assert main(["convert", f"videomae/{name}", str(tmp_path / "small.pth"), str(out)]) == 2
        message = capsys.readouterr().err
        assert "small.pth" in message
        assert "1 missing: head.bias" in message
        assert "1 unexpected: extra" in message
        assert "of another shape" in message
        assert message.count("\n") == 1
        assert not out.exists()
    assert main(["convert", "videomae/vit_b_k40", "x.pth", "y"]) == 2
    assert "no such file" in capsys.readouterr().err
    with pytest.raises(InputError, match="did you mean 'vit_b_k400'"):
        official_model("videomae/vit_b_k40")


def test_decoders_of_other_depths_are_read(tmp_path):
    network = official_model("videomae/vit_s_pretrain", [f"decoder.blocks.{i}.x" for i in range(8)])
    assert network.model.decoder_depth == 8
    write_checkpoint(tmp_path / "deep.pth", official_tensors(network), "model")
    assert flatten(read_weights(str(tmp_path / "deep.pth")))[
        "params/decoder/stack/blocks/mlp/up/bias"
    ].shape == (8, 768)


@pytest.mark.parametrize("kind", ["official", "hugging_face", "classifier", "without_norm"])
def test_a_file_without_head_or_decoder_starts_a_fine_tuning(tmp_path, kind):
    pretrained = official_tensors(official_model("videomae/vit_s_pretrain"))
    tensors = {name: a for name, a in pretrained.items() if name.startswith("encoder.")}
    if kind == "hugging_face":
        tensors = from_official(tensors)
    elif kind == "classifier":
        tensors = official_tensors(official_model("videomae/vit_s_k400"))
        tensors = {name: a for name, a in tensors.items() if not name.startswith("head.")}
    elif kind == "without_norm":
        tensors = {name: a for name, a in tensors.items() if not name.startswith("encoder.norm.")}
    write_checkpoint(tmp_path / "encoder.pth", tensors, "model")
    fresh = abstract(official_model("videomae/vit_s_12classes"))
    shapes = unflatten({p: np.zeros(shape, np.float32) for p, shape in fresh.items()})
    link = {"from": str(tmp_path / "encoder.pth"), **from_pretraining()}
    variables, (report,) = initialisation.apply(shapes, [link], read_weights)
    head = ["params/head/bias", "params/head/kernel"]
    norm = [] if kind == "classifier" else ["params/norm/bias", "params/norm/scale"]
    assert report.kept == head + norm
    name = "patch_embed.proj.bias"
    given = pretrained[f"encoder.{name}"] if kind != "classifier" else tensors[name]
    found = flatten(variables)["params/encoder/patch_embedding/projection/bias"]
    np.testing.assert_array_equal(found, given)


def test_load_in_six_lines(tmp_path):
    network = official_model("videomae/vit_s_12classes")
    write_checkpoint(tmp_path / "mine.pth", official_tensors(network, "float16"), "model")
    convert.save(tmp_path / "ours", convert.from_file(tmp_path / "mine.pth", network))
    answers = []
    for weights in (tmp_path / "mine.pth", tmp_path / "ours"):
        model, variables, preprocess = jaxvision.load("videomae/vit_s_12classes", weights=weights)
        frames = np.random.default_rng(0).integers(0, 256, (40, 60, 80, 3), np.uint8)
        clip = preprocess(frames)
        assert clip.shape == (1, 16, 224, 224, 3)
        assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(variables))
        answers.append((variables, clip))
    jax.tree.map(np.testing.assert_array_equal, *answers)
    features = jax.eval_shape(lambda v, x: model.apply(v, x, features=True), variables, clip)
    logits = jax.eval_shape(model.apply, variables, clip)
    assert (features.shape, logits.shape) == ((1, 384), (1, 12))


def test_preprocessing_refuses_what_are_no_frames(tmp_path):
    preprocess = official_model("videomae/vit_s_k400").preprocess
    with pytest.raises(InputError, match=r"expected uint8 \[frames, height, width, 3\]"):
        preprocess(np.zeros((16, 3, 224, 224), np.uint8))
    with pytest.raises(InputError, match="no frames"):
        preprocess(np.zeros((0, 8, 8, 3), np.uint8))


def test_a_broken_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"nowhere: no such file or folder of weights"):
        read_weights(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="expected the workdir of a run"):
        read_weights(str(tmp_path))
    (tmp_path / "conversion.json").write_text(json.dumps({"network": "x"}))
    with pytest.raises(InputError, match=r"conversion\.json: no 'names' in it"):
        convert.load(tmp_path)
