"""Names of pretraining files in the networks of tasks, and Google's BERT in pretraining."""

import numpy as np

from jaxvision.methods.umt.language.names import (
    from_old_spelling,
    is_old_spelling,
    question_answering_names,
    retrieval_names,
    to_old_spelling,
)

NAMES = [
    "temp",
    "clip_teacher.proj",
    "vision_encoder.encoder.norm.weight",
    "vision_encoder.clip_decoder.0.head.weight",
    "vision_encoder.pool_norm.weight",
    "text_encoder.bert.embeddings.LayerNorm.weight",
    "text_encoder.bert.encoder.layer.1.output.dense.weight",
    "text_encoder.bert.encoder.layer.12.crossattention.self.key.bias",
    "text_encoder.cls.predictions.bias",
    "itm_head.bias",
]


def test_retrieval_drops_a_level_the_teacher_and_the_heads():
    names = retrieval_names(NAMES)
    assert list(names) == [
        "temp",
        "vision_encoder.encoder.norm.weight",
        "vision_encoder.pool_norm.weight",
        "itm_head.bias",
        "text_encoder.embeddings.LayerNorm.weight",
        "text_encoder.encoder.layer.1.output.dense.weight",
        "text_encoder.encoder.layer.12.crossattention.self.key.bias",
    ]
    assert names["text_encoder.embeddings.LayerNorm.weight"] == NAMES[5]


def test_answers_copy_the_fusion_layers_embeddings_and_head():
    names = question_answering_names(NAMES, text_layers=9)
    assert list(names) == [
        "vision_encoder.encoder.norm.weight",
        "text_encoder.embeddings.LayerNorm.weight",
        "text_decoder.bert.embeddings.LayerNorm.weight",
        "text_encoder.encoder.layer.1.output.dense.weight",
        "text_encoder.encoder.layer.12.crossattention.self.key.bias",
        "text_decoder.bert.encoder.layer.3.crossattention.self.key.bias",
        "text_decoder.cls.predictions.bias",
    ]


def test_bert_files_of_both_spellings():
    one = np.ones(1)
    old = {
        "bert.embeddings.LayerNorm.gamma": one,
        "bert.embeddings.LayerNorm.beta": one,
        "cls.predictions.bias": one,
    }
    new = from_old_spelling(old)
    assert list(new) == [
        "bert.embeddings.LayerNorm.weight",
        "bert.embeddings.LayerNorm.bias",
        "cls.predictions.bias",
    ]
    assert to_old_spelling(new).keys() == old.keys()
    assert is_old_spelling(old)
    assert not is_old_spelling(new)
