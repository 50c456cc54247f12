"""What a method says of one of its published networks, so that files can be read and written."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxvision.weights.mapping import Entry

Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class OtherLayout:
    """Other names for the same tensors.

    recognise(tensors): whether a file is in this layout, by names or shapes.
    to_official(tensors, names): official tensors called `names`; what has no place keeps its name.
    from_official(tensors): tensors of this layout, in its order.
    """

    recognise: Callable[[Tensors], bool]
    to_official: Callable[[Tensors, Iterable[str]], dict[str, np.ndarray]]
    from_official: Callable[[Tensors], dict[str, np.ndarray]]


@dataclass(frozen=True)
class OfficialModel:
    """One network by name ("videomae/vit_b_k400").

    model: the Flax module.  entries: its official tensors, in order.
    preprocess: uint8 frames [t, h, w, 3] RGB, or the path of a video, -> the module's input.
    layouts: other layouts its weights are published in, by name.
    class_list: which of `data.class_lists` its outputs are; "" where they are none, or not known.
    class_names: of its outputs, where no such list has them.
    """

    name: str
    model: Any
    entries: list[Entry]
    preprocess: Callable[[Any], Any]
    layouts: Mapping[str, OtherLayout] = field(default_factory=dict)
    class_list: str = ""
    class_names: tuple[str, ...] = ()
