"""Starting a classifier from other weights: pretraining's encoder, or a Kinetics-710 head."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jaxvision.errors import InputError


def from_pretraining(pooling: str = "mean") -> dict[str, Any]:
    """How a link of `config.init` fits pretraining's variables to a classifier.

    The decoder goes. With "mean" pooling the encoder's norm goes too (the classifier's own stays
    fresh, as does its head); with "first" it becomes the classifier's norm.
    """
    drop = [r"^params/decoder/", r"^params/encoder_to_decoder/"]
    if pooling == "mean":
        return {"drop": (*drop, r"^params/encoder_norm/")}
    return {"drop": tuple(drop), "rename": ((r"^params/encoder_norm/", "params/norm/"),)}


def from_k710(classes: int) -> dict[str, Any]:
    """How a link of `config.init` fits a Kinetics-710 classifier to Kinetics-400, 600 or 700."""
    return {"select_rows": {r"^params/head/": k710_rows(classes)}}


def k710_rows(classes: int) -> list[int]:
    """The Kinetics-710 class of each class of Kinetics-`classes` (400, 600 or 700)."""
    tables = _tables()
    if str(classes) not in tables:
        raise InputError(
            f"no table from Kinetics-710 to {classes} classes; known: {', '.join(tables)}"
        )
    return tables[str(classes)]


@cache
def _tables() -> dict[str, list[int]]:
    return json.loads(Path(__file__).with_name("k710_rows.json").read_text())
