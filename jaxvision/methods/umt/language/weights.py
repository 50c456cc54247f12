"""Official tensors of the networks of videos and language <-> our variables."""

from collections.abc import Iterator

from jaxvision.methods.umt.clip import ClipVision
from jaxvision.methods.umt.language.question_answering import VideoQuestions, answer_config
from jaxvision.methods.umt.language.text_weights import (
    encoder_entries,
    head_entries,
    language_model_entries,
)
from jaxvision.methods.umt.language.video_text import VideoText
from jaxvision.methods.umt.weights import clip_entries, student_entries
from jaxvision.weights.mapping import Entry
from jaxvision.weights.transformer_entries import linear


def video_text_entries(model: VideoText, teacher: ClipVision | None = None) -> list[Entry]:
    """Every tensor of a pretraining or retrieval file, in its order.

    teacher: pretraining files carry it along; ours stands in the parameters, under "teacher".
    """
    config, shared, context = model.language, model.shared_width, model.vision.block.width
    level = "bert." if model.word_head else ""
    return [
        Entry("temp", (), "params/temperature"),
        *(clip_entries(teacher, "clip_teacher.", "params/teacher") if teacher else []),
        *student_entries(model.vision, "vision_encoder.", "params/vision"),
        *encoder_entries(f"text_encoder.{level}", "params/text", config, context),
        *(_word_head(model) if model.word_head else ()),
        *linear("vision_proj", "params/vision_projection", context, shared),
        *linear("text_proj", "params/text_projection", config.layer.width, shared),
        *linear("itm_head", "params/matching", config.layer.width, 2),
    ]


def _word_head(model: VideoText) -> Iterator[Entry]:
    table = "params/text/embeddings/words"
    return head_entries("text_encoder.", "params/words", table, model.language)


def question_entries(model: VideoQuestions) -> list[Entry]:
    """Every tensor of a question answering file, in its order."""
    config, context = model.language, model.vision.block.width
    answers = answer_config(config)
    return [
        *student_entries(model.vision, "vision_encoder.", "params/vision"),
        *encoder_entries("text_encoder.", "params/question", config, context),
        *language_model_entries("text_decoder.", "params/answer", answers, config.layer.width),
    ]
