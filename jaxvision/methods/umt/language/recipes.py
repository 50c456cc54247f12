"""What the recipes of videos with words share: the published scripts as tables, and the configs
they make (multi_modality/exp)."""

from typing import Any, NamedTuple

from ml_collections import ConfigDict

from jaxvision.errors import InputError, nearest
from jaxvision.methods.umt.language.transfer import (
    Link,
    from_bert,
    from_stage1,
    to_question_answering,
    to_retrieval,
)
from jaxvision.methods.umt.language.variants import FRAMES, text_table
from jaxvision.methods.umt.recipes import DROP_PATH, STAGE1_FILE, TEACHER_FILES
from jaxvision.methods.umt.variants import SIZES, student_table, teacher_table
from jaxvision.training.config import base_config

DATA = ("5m", "17m", "25m")
BERT_FILES = {
    "b": "bert-base-uncased/model.safetensors",
    "l": "bert-large-uncased/model.safetensors",
}
PRETRAINING_GPUS = {"b": 16, "l": 32}
GPUS = 8  # of every other script
WEIGHT_DECAY, LEAST_FACTOR = 0.02, 0.01


class Script(NamedTuple):
    """warmup: epochs."""

    learning_rate: float
    epochs: int
    warmup: int
    drop_path: float


Scripts = tuple[Script, ...]  # one for all of DATA, or one each


class RetrievalSet(NamedTuple):
    """text_length: tokens; where there is nothing to tune, too, but for `untuned_lengths` by size
    (none: no script without tuning was published).

    paragraphs, many_videos_a_text, seconds: see the settings of `data`.
    """

    text_length: int
    base: Scripts
    large: Scripts
    untuned_lengths: dict[str, int]
    paragraphs: bool = False
    many_videos_a_text: bool = False
    seconds: float = 0.0


class TunedSet(NamedTuple):
    base: Scripts
    large: Scripts


def _same(length: int) -> dict[str, int]:
    return dict.fromkeys(SIZES, length)


RETRIEVAL = {
    "msrvtt": RetrievalSet(
        32,
        (Script(2e-5, 10, 0, 0.2), Script(2e-5, 10, 0, 0.2), Script(1e-5, 10, 1, 0.2)),
        (Script(2e-5, 7, 1, 0.3),),
        _same(32),
    ),
    "didemo": RetrievalSet(
        64,
        (Script(2e-5, 15, 1, 0.1), Script(2e-5, 10, 1, 0.1), Script(2e-5, 12, 1, 0.1)),
        (Script(4e-5, 5, 1, 0.3), Script(4e-5, 5, 1, 0.3), Script(4e-5, 5, 1, 0.2)),
        _same(64),
        paragraphs=True,
        seconds=30.0,
    ),
    "anet": RetrievalSet(
        150,
        (Script(4e-5, 20, 1, 0.1),),
        (Script(4e-5, 20, 1, 0.2), Script(4e-5, 20, 1, 0.3), Script(4e-5, 20, 1, 0.2)),
        _same(150),
        paragraphs=True,
    ),
    "lsmdc": RetrievalSet(
        96, (Script(2e-5, 10, 1, 0.2),), (Script(2e-5, 8, 1, 0.2),), {"b": 64, "l": 96}
    ),
    "msvd": RetrievalSet(64, (Script(1e-5, 5, 0, 0.2),), (Script(1e-5, 3, 0, 0.3),), _same(64)),
    "ssv2_label": RetrievalSet(
        25,
        (Script(5e-5, 10, 0, 0.1),),
        (Script(5e-5, 10, 0, 0.2), Script(5e-5, 10, 0, 0.2), Script(4e-5, 10, 0, 0.2)),
        {},
        many_videos_a_text=True,
    ),
    "ssv2_template": RetrievalSet(
        25,
        (Script(1e-4, 10, 1, 0.1),),
        (Script(1e-4, 10, 1, 0.2), Script(1e-4, 8, 1, 0.2), Script(1e-4, 5, 1, 0.2)),
        {},
        many_videos_a_text=True,
    ),
}
MULTIPLE_CHOICE = TunedSet(
    (Script(8e-5, 5, 0, 0.2), Script(2e-5, 5, 0, 0.2), Script(8e-5, 3, 0, 0.2)),
    (Script(4e-5, 5, 0, 0.3),),
)
QUESTIONS = {
    "anet": TunedSet(
        (Script(4e-5, 12, 1, 0.2),),
        (Script(4e-5, 10, 1, 0.3), Script(4e-5, 12, 1, 0.3), Script(4e-5, 10, 1, 0.3)),
    ),
    # The file of B after 25M holds L's settings; those of the other two stand here.
    "msrvtt": TunedSet(
        (Script(2e-5, 8, 1, 0.2),),
        (Script(2e-5, 8, 1, 0.4), Script(2e-5, 6, 1, 0.4), Script(4e-5, 5, 1, 0.4)),
    ),
    "msvd": TunedSet(
        (Script(2e-5, 15, 1, 0.2), Script(2e-5, 15, 1, 0.2), Script(6e-5, 6, 1, 0.2)),
        (Script(6e-5, 6, 1, 0.4),),
    ),
}
QUESTION_LENGTH, ANSWER_LENGTH = 25, 5


def stage2(size: str, data: str, *, gpus: int = 0) -> ConfigDict:
    """Pretraining on captioned videos and pictures.  data: of DATA.  gpus: how many there are, each
    with the published 128 clips or pictures; 0 = as published."""
    _known("data", data, DATA)
    published = PRETRAINING_GPUS[_known("size", size, SIZES)]
    teacher = SIZES[size].teacher
    config = _base("stage2", size, FRAMES["pretrain"])
    config.model.drop_path = DROP_PATH[size]
    config.teacher = ConfigDict(teacher_table(teacher))
    config.task.update({"text_length": 32, "reranked": 128})
    config.task.loss_weights = ConfigDict(dict.fromkeys(("vtc", "vtm", "mlm", "uta"), 1.0))
    config.task.update({"video_mask_ratio": 0.8, "image_mask_ratio": 0.5, "word_mask_ratio": 0.5})
    config.data.pictures = ""  # annotations of captioned pictures
    _optimise(config, Script(1e-4, 10, 1, DROP_PATH[size]), gpus or published, 128)
    config.frozen.dtype = "bfloat16"
    config.init = (
        {"from": size + STAGE1_FILE, **from_stage1()},
        {"from": BERT_FILES[size], **from_bert()},
        {"from": TEACHER_FILES[teacher], "to": "teacher", "adapt": True},
    )
    return config


def retrieval(labels: str, size: str, data: str, *, form: str = "", gpus: int = 0) -> ConfigDict:
    """Tuning for retrieval between videos and texts.  labels: a key of RETRIEVAL.  form: "zero", to
    be evaluated without tuning.  gpus: as for `stage2`, each with 32 clips."""
    chosen = RETRIEVAL[_known("set", labels, RETRIEVAL)]
    _known("form", form, ("", "zero"))
    if form and not chosen.untuned_lengths:
        sets = ", ".join(name for name, row in RETRIEVAL.items() if row.untuned_lengths)
        raise InputError(f"no published script of {labels} without tuning; there are {sets}")
    script = _script(chosen, size, data)
    config = _base("retrieval", size, FRAMES["pretrain" if form else "retrieval"])
    config.task.text_length = chosen.untuned_lengths[size] if form else chosen.text_length
    config.data.paragraphs = chosen.paragraphs
    config.data.many_videos_a_text = chosen.many_videos_a_text
    config.data.seconds = chosen.seconds
    _pairs(config)
    _optimise(config, script, gpus or GPUS, 32)
    config.init = (_start(size, data, to_retrieval()),)
    return config


def multiple_choice(size: str, data: str, *, gpus: int = 0) -> ConfigDict:
    """Tuning for the choice among five captions (MSRVTT-MC): as for retrieval."""
    script = _script(MULTIPLE_CHOICE, size, data)
    config = _base("multiple_choice", size, FRAMES["retrieval"])
    config.task.text_length = 32
    _pairs(config)
    _optimise(config, script, gpus or GPUS, 32)
    config.init = (_start(size, data, to_retrieval()),)
    return config


def question_answering(labels: str, size: str, data: str, *, gpus: int = 0) -> ConfigDict:
    """Tuning for open questions.  labels: a key of QUESTIONS."""
    chosen = QUESTIONS[_known("set", labels, QUESTIONS)]
    script = _script(chosen, size, data)
    config = _base("question_answering", size, FRAMES["answers"])
    config.task.update({"text_length": QUESTION_LENGTH, "answer_length": ANSWER_LENGTH})
    config.task.reranked = 128
    config.data.answers = ""  # a JSON list of the answers to rank
    _optimise(config, script, gpus or GPUS, 32)
    config.init = tuple(_start(size, data, link) for link in to_question_answering())
    return config


def _known(argument: str, value: str, known: Any) -> str:
    if value not in known:
        raise InputError(f"recipe argument {argument!r} {value!r}{nearest(value, known)}")
    return value


def _script(chosen: RetrievalSet | TunedSet, size: str, data: str) -> Script:
    of_size = {"b": chosen.base, "l": chosen.large}[_known("size", size, SIZES)]
    number = DATA.index(_known("data", data, DATA))
    return of_size[number % len(of_size)]


def _start(size: str, data: str, link: Link) -> dict[str, Any]:
    return {"from": f"{size}16_{data}.pth", **link}


def _base(task: str, size: str, frames: int) -> ConfigDict:
    """What all have; lengths of texts are for the caller to say."""
    config = base_config()
    config.method = "umt"
    config.dtype = "bfloat16"
    config.model = ConfigDict(student_table(_known("size", size, SIZES)))
    config.model.frames = frames
    config.language = ConfigDict(text_table(size))
    config.task = ConfigDict({"name": task, "flip": True, "test_frames": frames})
    config.data.update(
        {
            "vocabulary": "vocab.txt",
            "root": "",  # before every path of the annotations
            "train": "",
            "validation": "",
            "paragraphs": False,
            "many_videos_a_text": False,
            "seconds": 0.0,
            "query": "",
        }
    )
    return config


def _pairs(config: ConfigDict) -> None:
    config.task.loss_weights = ConfigDict({"vtc": 1.0, "vtm": 1.0})
    config.task.reranked = 128


def _optimise(config: ConfigDict, script: Script, gpus: int, clips: int) -> None:
    """gpus x clips: the batch. Learning rates are as given, whatever the batch."""
    config.model.drop_path = script.drop_path
    if config.task.name != "stage2":
        config.model.remat = "full"
    config.train.batch_size = gpus * clips
    config.train.draw_groups = config.train.loss_groups = gpus
    config.train.epochs = float(script.epochs)
    config.optim.learning_rate = ConfigDict(
        {
            "name": "cosine",
            "peak": script.learning_rate,
            "end": 0.0,
            "floor": LEAST_FACTOR * script.learning_rate,
            "warmup_epochs": script.warmup,
            "inclusive_warmup": False,
        }
    )
    config.optim.weight_decay.value = WEIGHT_DECAY
