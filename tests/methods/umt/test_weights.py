"""UMT's and CLIP's files in and out: nothing missing, nothing left over, the same bytes."""

import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxvision.cli.main import main
from jaxvision.errors import InputError
from jaxvision.loading import read_weights
from jaxvision.methods.umt.clip_layouts import to_hugging_face, to_visual
from jaxvision.methods.umt.language.published import published_words
from jaxvision.methods.umt.language.variants import find
from jaxvision.methods.umt.variants import PUBLISHED, VARIANTS, find_variant
from jaxvision.networks import official_model, recognise
from jaxvision.weights import convert
from jaxvision.weights.checkpoint_file import read_checkpoint, write_checkpoint
from jaxvision.weights.mapping import flatten
from round_trip import assert_same, official_tensors

SIZES = {  # parameters in millions, as the paper and the published files have them
    "vit_b_pretrain": 88.01,
    "vit_l_pretrain": 307.81,
    "vit_b_k400": 85.94,
    "vit_l_k400": 303.5,
    "clip_b16": 86.19,
    "clip_l14": 303.90,
}


def abstract(network) -> dict:
    grid = network.model.grid
    video = jnp.zeros((1, grid.frames, *grid.image_size, 3))
    variables = nn.unbox(jax.eval_shape(network.model.init, jax.random.key(0), video))
    return {path: tuple(leaf.shape) for path, leaf in flatten(variables).items()}


@pytest.mark.parametrize("variant", [*VARIANTS, "vit_l_k400_f16", "vit_b_mit_res384"])
def test_every_variant_is_described_in_full(variant):
    network = official_model(f"umt/{variant}")
    shapes = abstract(network)
    assert convert.our_shapes(network.entries) == shapes
    if variant in SIZES:
        millions = sum(np.prod(shape) for shape in shapes.values()) / 1e6
        assert millions == pytest.approx(SIZES[variant], rel=1e-3)


def test_published_files_are_of_known_variants(capsys):
    for row in PUBLISHED:
        assert find_variant(row.variant).name == row.variant
    assert len({row.file for row in PUBLISHED}) == len(PUBLISHED)
    with pytest.raises(InputError, match="did you mean 'vit_b_k400'"):
        find_variant("vit_b_k40")
    assert main(["list", "umt"]) == 0
    printed = capsys.readouterr().out
    assert all(row.file in printed for row in PUBLISHED)
    words = published_words()
    assert len({row["file"] for row in words}) == len(words) == 6 + 13 + 5
    for row in words:
        assert find(row["network"].removeprefix("umt/"))
        assert row["file"] in printed


@pytest.mark.parametrize(
    ("variant", "key", "dtype"),
    [("vit_b_pretrain", None, np.float32), ("vit_b_k400", "module", np.float16)],
)
def test_weights_come_back_byte_for_byte(tmp_path, variant, key, dtype):
    """Stage 1 as a bare state dict, a classifier as DeepSpeed wrote it."""
    network = official_model(f"umt/{variant}")
    tensors = {name: tensor.astype(dtype) for name, tensor in official_tensors(network).items()}
    write_checkpoint(tmp_path / "official.pth", tensors, key)
    file = read_checkpoint(tmp_path / "official.pth")
    assert recognise(file.tensors, "file").name == network.name
    converted = convert.from_checkpoint(file, network, "official.pth")
    convert.to_file(tmp_path / "back.pth", converted, network)
    assert_same(tmp_path / "back.pth", tensors)
    assert read_checkpoint(tmp_path / "back.pth").key == key


def test_a_classifier_of_more_frames_keeps_its_table(tmp_path):
    network = official_model("umt/vit_b_k400_f16")
    tensors = official_tensors(network)
    assert tensors["pos_embed"].shape == (1, 3136, 768)
    assert recognise(tensors, "file").name == network.name
    write_checkpoint(tmp_path / "official.pth", tensors, "module")
    converted = convert.from_file(tmp_path / "official.pth", network)
    assert list(converted.unused) == ["pos_embed"]
    convert.to_file(tmp_path / "back.pth", converted, network)
    assert_same(tmp_path / "back.pth", tensors)


@pytest.mark.parametrize("layout", ["hugging_face", "visual"])
def test_the_teacher_comes_in_and_back_out(tmp_path, layout):
    network = official_model("umt/clip_b16")
    tensors = {
        name: tensor
        for name, tensor in official_tensors(network).items()
        if not name.startswith(("text_", "logit_scale", "vision_model."))
    }
    theirs = {"hugging_face": to_hugging_face, "visual": to_visual}[layout](tensors)
    if layout == "hugging_face":
        assert theirs["visual_projection.weight"].shape == (512, 768)
        assert theirs["vision_model.encoder.layers.11.self_attn.k_proj.bias"].shape == (768,)
        theirs["logit_scale"] = np.float32(4.6)
        theirs = dict(sorted(theirs.items()))
    given = {name: np.array(tensor, order="C") for name, tensor in theirs.items()}
    write_checkpoint(tmp_path / "model.safetensors", given)
    assert recognise(given, "file").name == network.name
    converted = convert.from_file(tmp_path / "model.safetensors", network)
    assert converted.origin.layout == layout
    convert.to_file(tmp_path / "back.safetensors", converted, network)
    assert_same(tmp_path / "back.safetensors", given)
    convert.to_file(tmp_path / "official.pth", converted, network, "official")
    official = read_checkpoint(tmp_path / "official.pth").tensors
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(official[name], tensor)


def test_openai_s_own_file_is_refused_in_one_line(tmp_path):
    path = tmp_path / "ViT-B-16.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/model.py"):
            archive.writestr(f"ViT-B-16/{name}", b"")
    with pytest.raises(InputError, match=r"ViT-B-16.pt: refused.*TorchScript.*Hugging Face") as e:
        read_weights(str(path))
    assert "\n" not in str(e.value)


def test_a_file_with_a_tensor_too_many_is_refused(tmp_path):
    network = official_model("umt/vit_b_k400")
    tensors = official_tensors(network) | {"extra": np.zeros(3, np.float32)}
    del tensors["head.bias"]
    write_checkpoint(tmp_path / "file.pth", tensors)
    with pytest.raises(InputError, match=r"1 missing: head.bias; 1 unexpected: extra"):
        convert.from_file(tmp_path / "file.pth", network)
