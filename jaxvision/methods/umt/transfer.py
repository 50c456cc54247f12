"""Starting a classifier from other weights: stage 1's student, or a Kinetics-710 head."""

from typing import Any

# UMT's own order of Kinetics-710 begins with Kinetics-400's classes, in their order. (VideoMAE's is
# another.) The lists for Kinetics-600 and 700 are files that the authors give for download.
OWN_FILES = {600: "label_mixto600.json", 700: "label_mixto700.json"}


def from_pretraining() -> dict[str, Any]:
    """How a link of `config.init` fits stage 1's variables to a classifier: the alignment heads and
    the teacher go, and so does the encoder's norm (the classifier's stays fresh, as its head)."""
    return {"drop": (r"^params/heads/", r"^params/encoder_norm/", r"^params/teacher/")}


def from_k710(classes: int, rows: str = "") -> dict[str, Any]:
    """How a link fits a Kinetics-710 classifier to one of `classes`: 710 as it is, 400 the first
    rows of its head, 600 and 700 those that the JSON file `rows` lists; any other head starts
    fresh."""
    if classes == 710:
        return {}
    if classes == 400:
        return {"select_rows": {r"^params/head/": tuple(range(400))}}
    if classes in OWN_FILES:
        return {"select_rows": {r"^params/head/": rows or OWN_FILES[classes]}}
    return fresh_head()


def fresh_head() -> dict[str, Any]:
    """Everything but the head."""
    return {"drop": (r"^params/head/",)}


def to_detector() -> dict[str, Any]:
    """How a link fits a Kinetics-710 classifier to an action detector, whose norm is another (of
    all tokens, not of their mean) and starts fresh, as its head."""
    return {"drop": (r"^params/(head|norm)/",)}
