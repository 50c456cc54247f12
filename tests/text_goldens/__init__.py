"""What every recipe resolves to, as text that a review can read.

`engine.txt` holds the engine's own settings; `<method>/<recipe>.txt` the settings of a recipe that
are not the engine's, and a line per parameter: shape, logical axes, initialiser, factors on weight
decay and learning rate (a stacked parameter: first .. last layer, and their mean). Nothing is made.

    python -m tests.text_goldens    # write them anew
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from jaxvision.methods.videomae.variants import CLASSES
from jaxvision.registry import make_task
from jaxvision.training.config import base_config, leaves, load_config, recipes
from jaxvision.training.task import Group
from jaxvision.weights.mapping import flatten
from tests.text_goldens import initializers

FOLDER = Path(__file__).parent
ENGINE = "engine"


def names() -> list[str]:
    return [ENGINE, *recipes()]


def path_of(name: str) -> Path:
    return FOLDER / f"{name}.txt"


def render(name: str) -> str:
    """The text of one golden."""
    if name == ENGINE:
        return settings(base_config().to_dict(), {})
    known = dict(leaves(base_config().to_dict()))
    return settings(load_config(name).to_dict(), known) + "\n" + parameters(name)


def settings(config: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """A line per setting that `known` does not hold."""
    lines = [
        f"{key} = {value!r}\n"
        for key, value in sorted(leaves(config))
        if key not in known or known[key] != value
    ]
    return "".join(lines)


def parameters(name: str) -> str:
    """A line per parameter of a recipe."""
    with tempfile.TemporaryDirectory() as folder:
        task = make_task(load_config(name, labels_of(name, Path(folder))))
        with initializers.recorded() as initial:
            boxed = flatten(jax.eval_shape(task.init, jax.random.key(0))["params"])
    lines, total = [], 0
    for path, box in sorted(boxed.items()):
        axes = box.names if isinstance(box, nn.Partitioned) else None
        shape = tuple((box.value if axes else box).shape)
        total += int(np.prod(shape))
        changed = factors(task.parameter_group(path, shape))
        lines.append(
            f"{path} {dimensions(shape, axes)} {initializers.of(path, initial)}{changed}\n"
        )
    return f"{total:,} parameters\n" + "".join(lines)


def labels_of(name: str, folder: Path) -> list[str]:
    """Settings that give a classifier as many classes as the data set it is named for has."""
    data = load_config(name).data
    if "labels" not in data or data.labels:
        return []
    # The last in the name: "k710_to_k400" has 400 classes. One's own videos: two.
    dataset = max((word for word in CLASSES if word in name), key=name.rindex, default="")
    file = folder / "labels.txt"
    file.write_text("".join(f"class {number}\n" for number in range(CLASSES.get(dataset, 2))))
    return [f"data.labels={file}"]


def dimensions(shape: tuple[int, ...], axes: tuple[str | None, ...] | None) -> str:
    """Sizes, each with its axis where it has one: [12 layers, 384 embed, 3]."""
    named = axes or (None,) * len(shape)
    return f"[{', '.join(f'{s} {a}' if a else str(s) for s, a in zip(shape, named, strict=True))}]"


def factors(group: Group) -> str:
    """What is not 1, or that the parameter is frozen."""
    if not np.any(group.train):
        return " frozen"
    words = [("trained", group.train), ("decay", group.decay), ("lr", group.lr)]
    text = "".join(f" {word} {factor(value)}" for word, value in words if np.any(value != 1))
    text += f" schedule {group.schedule}" if group.schedule else ""
    return text + (f" bounds {group.bounds}" if group.bounds else "")


def factor(value: Any) -> str:
    values = np.atleast_1d(np.asarray(value, np.float64))
    if np.all(values == values[0]):
        return f"{values[0]:.5g}"
    return f"{values[0]:.5g} .. {values[-1]:.5g} (mean {values.mean():.5g})"
