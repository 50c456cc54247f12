"""The methods, and how a config becomes a task. An eleventh method is one line here."""

import importlib
from typing import NamedTuple

from ml_collections import ConfigDict

from jaxvision.errors import InputError, nearest
from jaxvision.training.task import Task


class Method(NamedTuple):
    """title: as the paper calls it.  paper: its arXiv number.  status: what works today."""

    title: str
    paper: str
    status: str


METHODS = {
    "videomae": Method("VideoMAE V2", "2303.16727", "train, evaluate, predict"),
    "sparseformer": Method("SparseFormer", "2304.03768", "train, evaluate, predict"),
    "cycleacr": Method("CycleACR", "2303.16118", "planned"),
    "stmixer": Method("STMixer", "2303.15879", "planned"),
    "link": Method("LinK", "2303.16094", "segmentation and detection: train, evaluate, predict"),
    "umt": Method("Unmasked Teacher", "2303.16058", "planned"),
    "pdpp": Method("PDPP", "2303.14676", "train, evaluate, predict"),
    "camliflow": Method("CamLiFlow", "2303.12017", "planned"),
    "emavfi": Method("EMA-VFI", "2303.00440", "train, evaluate, predict"),
    "comae": Method("CoMAE", "2302.06148", "planned"),
}


def make_task(config: ConfigDict) -> Task:
    """The task of `config.method`. InputError names the nearest method for an unknown one."""
    method = METHODS.get(config.method)
    if method is None:
        raise InputError(f"unknown method {config.method!r}{nearest(config.method, METHODS)}")
    try:
        module = importlib.import_module(f"jaxvision.methods.{config.method}.task")
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith(f"jaxvision.methods.{config.method}"):
            raise InputError(f"{method.title} ({config.method}) cannot be run yet") from None
        raise
    return module.make_task(config)
