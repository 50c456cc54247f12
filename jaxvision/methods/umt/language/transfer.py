"""Links of `config.init` between the networks of videos with words: what of one fills another.

Each is a part of a link, without its "from"; `names` says the same in official names.
"""

from typing import Any

# Of pretraining alone, below "params/".
_PRETRAINING = ("teacher/", "vision/heads/", "words/")
_PAIRING = (
    "vision/pooled_norm/",
    "vision_projection/",
    "text_projection/",
    "matching/",
    "temperature",
)

Link = dict[str, Any]


def from_stage1() -> Link:
    """The vision tower, alignment heads included. Its norm of pooled tokens stays fresh."""
    return {"to": "vision"}


def from_bert() -> Link:
    """The text tower and the masked-word head. Cross-attention stays fresh."""
    return {"rename": (("^params/encoder/", "params/text/"), ("^params/head/", "params/words/"))}


def to_retrieval() -> Link:
    """Stage 2's network without its teacher, alignment heads and masked-word head."""
    return {"drop": _below_params(_PRETRAINING)}


def to_question_answering() -> tuple[Link, Link]:
    """Two links from the same weights of stage 2. The encoder of questions is the whole text tower;
    the decoder of answers starts from copies of the fusion layers, the embeddings and the
    masked-word head."""
    encoder = {
        "rename": (("^params/text/", "params/question/"),),
        "drop": _below_params(_PRETRAINING + _PAIRING),
    }
    decoder = {
        "rename": (
            ("^params/text/(embeddings|fusion)/", r"params/answer/encoder/\1/"),
            ("^params/words/", "params/answer/head/"),
        ),
        "drop": ("^params/(?!answer/)",),
    }
    return encoder, decoder


def _below_params(starts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"^params/{start}" for start in starts)
