"""What `jaxvision tour` shows of a method: files for `predict`, and what it makes of them.

A method's `tour.py` has STOPS; each is one call of `jaxvision predict` with shipped weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from jaxvision.viz.tour_page import Number, Picture


class Shown(NamedTuple):
    """What is worth looking at of the answers."""

    pictures: Sequence[Picture]
    numbers: Sequence[Number]


def no_settings(folder: Path) -> list[str]:
    return []


@dataclass(frozen=True, kw_only=True)
class Stop:
    """name: of its folder.  weights: shipped ones ("emavfi/demo").  title, what: for people: what
    it does, in a sentence.  given: the input, and whether it is real or made.

    write(config, folder) -> truth: writes `predict`'s inputs into the folder, which it is given as
        a whole; what is known of them, for `show`.
    settings(folder): KEY=VALUE that the inputs ask for.
    show(answers, truth): of the folder that `predict` wrote.
    """

    name: str
    weights: str
    title: str
    what: str
    given: str
    write: Callable[[ConfigDict, Path], Any]
    show: Callable[[Path, Any], Shown]
    settings: Callable[[Path], Sequence[str]] = no_settings
