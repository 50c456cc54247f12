"""Weights that come with this library: small networks that their demo recipes trained.

`jaxvision/demo_weights/<method>/<recipe>` holds each as `jaxvision convert` writes a folder (its
weights in float16), and a `record.json`: what made it and what was measured of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxvision.text_files import read_json

FOLDER = Path(__file__).resolve().parents[1] / "demo_weights"
RECORD = "record.json"
SHAPE = {
    **{"recipe": str, "commands": [str], "seed": int, "parameters": int},
    **{"measured": {str: float}, "told": str, "commit": str, "version": str},
}


@dataclass(frozen=True, kw_only=True)
class ShippedWeights:
    """name: as `jaxvision.load` takes it.  recipe: that the network is of, with its arguments.
    commands: that trained it, one after the other.  measured: numbers of these float16 weights, as
    `jaxvision evaluate` names them.  told: the one that counts, in words.  parameters: how many
    numbers.  commit, version: of this library when it was trained."""

    name: str
    folder: Path
    recipe: str
    commands: tuple[str, ...]
    seed: int
    parameters: int
    measured: Mapping[str, float]
    told: str
    commit: str
    version: str


def shipped_names() -> tuple[str, ...]:
    """Of all weights that are here, e.g. "emavfi/demo"."""
    return tuple(
        sorted(f"{p.parents[1].name}/{p.parent.name}" for p in FOLDER.glob(f"*/*/{RECORD}"))
    )


def shipped(name: str) -> ShippedWeights | None:
    """The weights called `name`; None where there are none."""
    if name not in shipped_names():
        return None
    record = read_json(FOLDER / name / RECORD, SHAPE)
    record["commands"] = tuple(record["commands"])
    return ShippedWeights(name=name, folder=FOLDER / name, **{k: record[k] for k in SHAPE})
