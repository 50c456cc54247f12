"""Files of videos and language in and out, and the published sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxvision.errors import InputError
from jaxvision.loading import official_model, recognise
from jaxvision.methods.umt.language.names import to_old_spelling
from jaxvision.methods.umt.language.question_answering import VideoQuestions
from jaxvision.methods.umt.language.variants import VARIANTS, find
from jaxvision.weights import convert
from jaxvision.weights.checkpoint_file import read_checkpoint, write_checkpoint
from jaxvision.weights.mapping import flatten
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
