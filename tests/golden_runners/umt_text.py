"""Golden runners of UMT: words, BERT, losses on words, recall, names of checkpoints."""

import functools
from collections.abc import Mapping

import jax
import numpy as np

from golden_case import Case, Config, runner
from jaxvision.data.word_pieces import WordPieces, clean_caption
from jaxvision.methods.umt.language import contrast
from jaxvision.methods.umt.language import names as language_names
from jaxvision.methods.umt.language.answers import answer_losses, multiple_choice_scores
from jaxvision.methods.umt.language.text import LanguageModel, TextConfig
from jaxvision.methods.umt.language.text_weights import language_model_entries
from jaxvision.methods.umt.language.word_masking import (
    WordDraws,
    WordMasking,
    mask_words,
    masked_word_loss,
)
from jaxvision.metrics.retrieval import retrieval_recalls
from jaxvision.nn.bert_layers import BertConfig
from jaxvision.weights import to_variables

XBERT = "multi_modality/models/backbones/bert/xbert.py:"


def text_config(config: Mapping) -> TextConfig:
    """A case's BERT; `fusion_layer` of its layers see the text alone."""
    known = (config["hidden_act"], config["type_vocab_size"], config["pad_token_id"])
    assert known == ("gelu", 2, 0)
    return TextConfig(
        vocabulary=config["vocab_size"],
        positions=config["max_position_embeddings"],
        text_layers=config["fusion_layer"],
        fusion_layers=config["num_hidden_layers"] - config["fusion_layer"],
        layer=BertConfig(
            width=config["hidden_size"],
            heads=config["num_attention_heads"],
            hidden=config["intermediate_size"],
            dropout=config["hidden_dropout_prob"],
            attention_dropout=config["attention_probs_dropout_prob"],
            norm_epsilon=config["layer_norm_eps"],
        ),
    )


@functools.cache
def language_model(config: Config):
    """(model, entries) of a case about BERT alone."""
    text = text_config(config)
    return LanguageModel(text), list(
        language_model_entries("", "params", text, config["encoder_width"])
    )


@runner("umt", f"{XBERT}BertForMaskedLM", fixed={"model": "bert_masked_lm"})
def masked_language_model(case: Case) -> dict:
    model, entries = language_model(case.config)
    variables, _ = to_variables(case.state_dict(), entries)
    mask, context = case.input("attention_mask") > 0, case.input("vision_embeds")

    @jax.jit
    def run(variables, ids, labels):
        states = model.apply(variables, method=lambda m: m.encoder.encode(ids, mask))
        fused = model.apply(variables, method=lambda m: m.encoder.fuse(states, mask, context))
        logits = model.apply(variables, fused, method="words")
        return {
            "text_hidden": states,
            "fusion_hidden": fused,
            "multi_modal_hidden": fused,
            "mlm_logits": logits,
            "mlm_loss": masked_word_loss(logits, labels),
        }

    return run(variables, case.input("input_ids"), case.input("labels"))


@runner("umt", f"{XBERT}BertLMHeadModel", fixed={"model": "bert_lm_head"})
def answer_decoder(case: Case) -> dict:
    model, entries = language_model(case.config)
    variables, _ = to_variables(case.state_dict(), entries)
    mask, seen = case.input("attention_mask") > 0, case.input("question_mask") > 0
    ids = case.input("input_ids")
    np.testing.assert_array_equal(np.where(mask, ids, -100), case.input("labels"))

    @jax.jit
    def run(variables, ids, states):
        logits = model.apply(variables, ids, mask, states, seen, causal=True)
        return {"logits": logits, "loss_per_sample": answer_losses(logits, ids, mask)}

    return run(variables, ids, case.input("question_states"))


@runner("umt", "multi_modality/models/criterions.py:get_sim, VTC_VTM_Loss")
def contrastive_loss(case: Case) -> dict:
    temperature = case.config["temp"]

    @jax.jit
    def run(vision, text, index):
        logits = contrast.similarities(vision, text) / temperature
        same = contrast.positives(index)
        return {
            "sim_v2t": logits,
            "sim_t2v": logits.T,
            "targets": same / same.sum(axis=1, keepdims=True),
            "loss": contrast.contrastive_loss(logits, same),
            "loss_without_idx": contrast.contrastive_loss(logits),
            "neg_weights_v2t": contrast.negative_weights(logits, same),
            "neg_weights_t2v": contrast.negative_weights(logits.T, same),
        }

    return run(case.input("vision_proj"), case.input("text_proj"), case.input("idx"))


@runner("umt", "multi_modality/models/criterions.py:MLMLoss.mask")
def word_masking(case: Case) -> dict:
    config = case.config
    rule = WordMasking(
        rate=config["mask_prob"],
        padding=config["pad_id"],
        begin=config["cls_id"],
        mask=config["mask_id"],
        vocabulary=config["vocab_size"],
    )
    draws = WordDraws(*(case.input(name) for name in ("u0", "u1", "u2", "random_words")))
    ids, labels = jax.jit(lambda ids: mask_words(ids, rule, draws))(case.input("input_ids"))
    return {"input_ids": ids, "labels": labels}


@runner("umt", "multi_modality/tasks/retrieval_utils.py:itm_eval")
def recall(case: Case) -> dict:
    config = case.config

    def truths(name: str) -> list:
        return [config[name][str(query)] for query in range(len(config[name]))]

    def answer(texts: str, videos: str) -> list[float]:
        scores = (case.input(f"scores_{way}") for way in ("i2t", "t2i"))
        metrics = retrieval_recalls(*scores, truths(texts), truths(videos))
        return [metrics[key] for key in config["keys"]]

    return {
        "many_texts_per_video": answer("img2txt_lists", "txt2img"),
        "many_videos_per_text": answer("img2txt", "txt2img_lists"),
    }


@runner("umt", "multi_modality/tasks/retrieval_mc.py:get_sim_for_each_question, main_with_ensemble")
def multiple_choice(case: Case) -> dict:
    config = case.config
    shares = config["itm_weight"], config["sim_weight"]

    def projected(name: str):
        weight, bias = case.weight(f"{name}_proj.weight"), case.weight(f"{name}_proj.bias")
        return case.input(f"pooled_{name}") @ weight.T + bias

    @jax.jit
    def run(vision, text, matching):
        similarity = contrast.pair_similarities(vision, text)
        matching = matching.reshape(-1, config["options"], 2)
        return multiple_choice_scores(similarity, matching, config["temp"], shares)

    similarity, score = run(projected("vision"), projected("text"), case.input("itm_logits"))
    return {"similarity": similarity, "score": score, "prediction": score.argmax(axis=1)}


@runner(
    "umt",
    "multi_modality/models/backbones/bert/tokenization_bert.py:BertTokenizer; "
    "dataset/utils.py:pre_text",
    fixed={"answer_suffix": " [SEP]"},
    ignores={"answer_suffix": "it stands in `fixed`"},
)
def tokens(case: Case) -> dict:
    config = case.config
    pieces = WordPieces.of_pieces(config["vocab"])
    cleaned = [clean_caption(text) for text in config["raw"]]
    assert cleaned == config["cleaned"]
    text = pieces.encode(cleaned, config["max_length"])
    answers = pieces.encode_answers(config["answers"], config["answer_max_length"])
    return {
        "input_ids": text.ids,
        "attention_mask": text.mask.astype(int),
        "answer_ids": answers.ids,
        "answer_mask": answers.mask.astype(int),
    }


@runner(
    "umt",
    "multi_modality/tasks/shared_utils.py:setup_model",
    ignores={"single_modality_finetune": "a sentence about another network"},
)
def checkpoint_names(case: Case) -> dict:
    config = case.config
    names = config["pretrain_names"]
    retrieval = language_names.retrieval_names(names)
    answering = language_names.question_answering_names(names, config["fusion_layer"])
    assert retrieval == dict(config["retrieval"].items())
    assert answering == dict(config["question_answering"].items())
    return {
        "retrieval_source_index": [names.index(name) for name in retrieval.values()],
        "qa_source_index": [names.index(name) for name in answering.values()],
    }
