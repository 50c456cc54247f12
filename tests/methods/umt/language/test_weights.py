"""Files of videos and language in and out, and the published sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxvision.errors import InputError
from jaxvision.methods.umt.language.names import to_old_spelling
from jaxvision.methods.umt.language.question_answering import VideoQuestions
from jaxvision.methods.umt.language.variants import VARIANTS, find
from jaxvision.methods.umt.language.weights import question_entries, video_text_entries
from jaxvision.methods.umt.task import make_task
from jaxvision.networks import official_model, recognise
from jaxvision.weights import convert
from jaxvision.weights.checkpoint_file import read_checkpoint, write_checkpoint
from jaxvision.weights.mapping import flatten
from jaxvision.weights.official import OfficialModel
from methods.umt.language.small import FRAMES, recipe
from round_trip import assert_same, official_tensors

SIZES = {  # parameters in millions; of pretraining without the teacher
    "language_b_pretrain": 205.4,
    "language_l_pretrain": 665.6,
    "language_b_retrieval": 202.4,
    "language_l_retrieval": 659.7,
    "language_b_answers": 254.4,
    "language_l_answers": 775.0,
}


def abstract(network) -> dict:
    model = network.model
    grid = model.vision.grid
    video = jnp.zeros((1, grid.frames, *grid.image_size, 3))
    ids, mask = jnp.zeros((1, 4), jnp.int32), jnp.ones((1, 4), bool)
    if isinstance(model, VideoQuestions):
        answers = ids[:, None], mask[:, None]
        arguments = video, (ids, mask), answers, jnp.ones((1, 1))
    else:
        arguments = video, ids, mask
    variables = nn.unbox(jax.eval_shape(model.init, jax.random.key(0), *arguments))
    return {path: tuple(leaf.shape) for path, leaf in flatten(variables).items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_described_in_full(variant):
    network = official_model(f"umt/{variant}")
    shapes = abstract(network)
    described = convert.our_shapes(network.entries)
    ours = {path: s for path, s in described.items() if not path.startswith("params/teacher/")}
    assert ours == shapes
    millions = sum(np.prod(shape) for shape in shapes.values()) / 1e6
    assert millions == pytest.approx(SIZES[variant], rel=1e-3)


def test_weights_come_back_byte_for_byte(tmp_path):
    """A pretraining file: the teacher is carried along, the word head is tied."""
    network = official_model("umt/language_b_pretrain")
    tensors = official_tensors(network, "float16")
    head, bert = "text_encoder.cls.predictions", "text_encoder.bert.embeddings"
    tensors[f"{head}.decoder.weight"] = tensors[f"{bert}.word_embeddings.weight"]
    tensors[f"{head}.decoder.bias"] = tensors[f"{head}.bias"]
    write_checkpoint(tmp_path / "official.pth", tensors, "model")
    file = read_checkpoint(tmp_path / "official.pth")
    assert recognise(file.tensors, "file").name == network.name
    converted = convert.from_checkpoint(file, network, "official.pth")
    convert.to_file(tmp_path / "back.pth", converted, network)
    assert_same(tmp_path / "back.pth", tensors)


def tiny(folder, kind) -> OfficialModel:
    """A network of the published layout, and of no published size."""
    task = make_task(recipe(folder, kind))
    if kind == "question_answering":
        return OfficialModel("umt/tiny", task.model, question_entries(task.model), None)
    teacher = task.teacher(FRAMES) if kind == "stage2" else None
    return OfficialModel("umt/tiny", task.model, video_text_entries(task.model, teacher), None)


@pytest.mark.parametrize("kind", ["stage2", "retrieval", "question_answering"])
def test_every_layout_comes_back_byte_for_byte(tmp_path, kind):
    """With the counters of positions, tied tables, and in stage 2 the teacher; a tensor too many
    and one too few are named."""
    config_folder = tmp_path / "made"
    config_folder.mkdir()
    network = tiny(config_folder, kind)
    tensors = official_tensors(network)
    for name in tensors:
        if name.endswith("position_ids"):
            tensors[name] = np.arange(tensors[name].size)[None]
        if name.endswith("decoder.weight"):
            words = name.replace("cls.predictions.decoder", "bert.embeddings.word_embeddings")
            tensors[name] = tensors[words]
        if name.endswith("decoder.bias"):
            tensors[name] = tensors[name.replace("decoder.bias", "bias")]
    write_checkpoint(tmp_path / "official.pth", tensors, "model")
    converted = convert.from_file(tmp_path / "official.pth", network)
    convert.to_file(tmp_path / "back.pth", converted, network)
    assert_same(tmp_path / "back.pth", tensors)
    assert any(name.startswith("clip_teacher.") for name in tensors) == (kind == "stage2")
    other = {
        ("extra" if name.endswith("encoder.norm.bias") else name): tensor
        for name, tensor in tensors.items()
    }
    write_checkpoint(tmp_path / "other.pth", other, "model")
    with pytest.raises(InputError, match=r"1 missing: vision_encoder\.\S+; 1 unexpected: extra"):
        convert.from_file(tmp_path / "other.pth", network)


@pytest.mark.parametrize("spelling", ["new", "old"])
def test_bert_of_both_spellings(tmp_path, spelling):
    network = official_model("umt/bert_b")
    tensors = official_tensors(network, "float16")
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]
    tensors["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"]
    if spelling == "old":
        tensors = to_old_spelling(tensors)
        del tensors["bert.embeddings.position_ids"], tensors["cls.predictions.decoder.bias"]
    write_checkpoint(tmp_path / "bert.bin", tensors)
    file = read_checkpoint(tmp_path / "bert.bin")
    assert recognise(file.tensors, "file").name == network.name
    converted = convert.from_checkpoint(file, network, "bert.bin")
    fusion = converted.variables["params"]["encoder"]["fusion"]["layers"]
    assert set(fusion) == {"self_attention", "feed_forward"}
    assert fusion["feed_forward"]["up"]["kernel"].shape == (3, 768, 3072)


def test_unknown_names():
    assert find("language_l_answers_f8") == ("l", "answers", 8)
    with pytest.raises(InputError, match="did you mean 'language_b_retrieval'"):
        find("language_b_retrieva")
