"""PDPP's published networks as the converter and `jaxvision.load` see them."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxvision.data.procedures import OBSERVATION_SECONDS
from jaxvision.errors import InputError, nearest
from jaxvision.methods.pdpp.classifier import TaskClassifier
from jaxvision.methods.pdpp.model import TemporalUNet
from jaxvision.methods.pdpp.state import StateLayout
from jaxvision.methods.pdpp.weights import classifier_entries, planner_entries
from jaxvision.weights.official import OfficialModel


class Setting(NamedTuple):
    """A published dataset: its state, and the diffusion steps its planners were trained with."""

    layout: StateLayout
    diffusion_steps: int


SETTINGS = {
    "crosstask_how": Setting(StateLayout(18, 105, 512 * OBSERVATION_SECONDS), 200),
    "crosstask_base": Setting(StateLayout(18, 105, 3200 * OBSERVATION_SECONDS), 200),
    "coin": Setting(StateLayout(180, 778, 512 * OBSERVATION_SECONDS), 200),
    "niv": Setting(StateLayout(5, 48, 512 * OBSERVATION_SECONDS), 50),
}
CLASSIFIER = "_classifier"
_TABLE, _TIME, _HEAD = "betas", "model.time_mlp.1.weight", "fc4.weight"
_FIRST = "model.downs.0.0.blocks.0.block.0.weight"


def official_model(name: str, tensors: Iterable[str] = (), dtype: str = "float32") -> OfficialModel:
    """The published network called `name`: "coin" (a planner), "coin_classifier" (its task MLP).

    tensors: the names in a file about to be read; a planner without a time embedding is one of the
    paper's baselines. Names are those of a file whose "module." has been taken off.
    """
    setting = SETTINGS.get(name.removesuffix(CLASSIFIER))
    if setting is None:
        known = [*SETTINGS, *(n + CLASSIFIER for n in SETTINGS)]
        raise InputError(f"pdpp/{name}: no such network{nearest(name, known)}")
    layout = setting.layout
    if name.endswith(CLASSIFIER):
        classifier = TaskClassifier(layout.classes, layout.observation, jnp.dtype(dtype))
        entries = classifier_entries(classifier, data_parallel=False)
        return OfficialModel(f"pdpp/{name}", classifier, entries, observations)
    timed = not (names := set(tensors)) or _TIME in names
    planner = TemporalUNet(layout, time_embedding=timed, dtype=jnp.dtype(dtype))
    entries = planner_entries(planner, setting.diffusion_steps, data_parallel=False)
    return OfficialModel(f"pdpp/{name}", planner, entries, observations)


def network_of(task: Any, name: str) -> OfficialModel:
    """The planner that a demo's task trains, for `jaxvision.load`."""
    entries = planner_entries(task.model, task.sampler.diffusion_steps, data_parallel=False)
    return OfficialModel(name, task.model, entries, observations)


def published() -> list[dict[str, str]]:
    """The networks there are, for people: the authors' files carry the names of their runs."""
    return [
        {
            "network": f"pdpp/{name}",
            "file": "a planner's checkpoint (its `ema`), any horizon",
            "classifier": f"pdpp/{name}{CLASSIFIER}",
            "state": f"{s.layout.classes} tasks, {s.layout.actions} actions, "
            f"{s.layout.observation} values an observation",
            "diffusion steps": str(s.diffusion_steps),
            "by hand": "take it from box.nju.edu.cn/d/bea511b00c984c0c8bd6 (README of "
            "github.com/MCG-NJU/PDPP, 'Inference')",
        }
        for name, s in SETTINGS.items()
    ]


def recognise(tensors: Mapping[str, np.ndarray]) -> OfficialModel | None:
    """The network that a file's tensors belong to; None where they are not PDPP's."""
    for name, setting in SETTINGS.items():
        layout = setting.layout
        if _TABLE in tensors and _FIRST in tensors:
            if tensors[_FIRST].shape[1] == layout.width:
                return official_model(name, tensors)
        elif _HEAD in tensors and "fc1.weight" in tensors:
            sizes = tensors[_HEAD].shape[0], tensors["fc1.weight"].shape[1]
            if sizes == (layout.classes, layout.observation):
                return official_model(name + CLASSIFIER, tensors)
    return None


def observations(
    features: Float[np.ndarray, "seconds channels"],
) -> Float[np.ndarray, "1 2 observation"]:
    """Start and goal of a window of features, one row a second: its first and last three rows."""
    rows = np.asarray(features, np.float32)
    if rows.ndim != 2 or len(rows) < OBSERVATION_SECONDS:
        raise InputError(
            f"features of shape {rows.shape}; expected [seconds, channels] with at least "
            f"{OBSERVATION_SECONDS} seconds"
        )
    both = rows[:OBSERVATION_SECONDS], rows[-OBSERVATION_SECONDS:]
    return np.stack([part.ravel() for part in both])[None]
