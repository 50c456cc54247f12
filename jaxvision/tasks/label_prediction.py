"""`predict` for a classifier: the likeliest classes of one's own files, as tables and pictures."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from jaxvision.data.tables import write_csv
from jaxvision.tasks.each_input import each_input, earlier_table
from jaxvision.training.run_record import write_json
from jaxvision.viz.files import write_png

SHOWN = 5
TABLE = "predictions.json"
# A file's probabilities, and its picture under the name of the likeliest class.
Answer = tuple[Float[np.ndarray, " classes"], Callable[[str], UInt8[np.ndarray, "height width 3"]]]


def predict_files(
    answer: Callable[[Path], Answer],
    names: Sequence[str],
    paths: Sequence[Path],
    outdir: Path,
    suffix: str = "",
) -> list[Path]:
    """The likeliest classes of files: predictions.json, predictions.csv, and <name><suffix>.png,
    which both tables name.

    Returns what was written. `answer` raises InputError for a file that cannot be read; of several
    files the others are answered (`each_input`).
    """
    results: dict[str, list[dict[str, Any]]] = earlier_table(outdir / TABLE)

    def answer_one(path: Path, name: str) -> list[Path]:
        results.pop(str(path), None)  # what an earlier file of that name was
        scores, draw = answer(path)
        found = likeliest(scores, names)
        picture = outdir / f"{name}{suffix}.png"
        write_png(picture, draw(found[0]["class"]))
        results[str(path)] = [{**each, "picture": picture.name} for each in found]
        return [picture]

    return each_input(paths, outdir, answer_one, lambda: write_labels(results, outdir))


def likeliest(scores: Float[np.ndarray, " classes"], names: Sequence[str]) -> list[dict[str, Any]]:
    """The classes of the largest probabilities, largest first."""
    best = np.argsort(-scores, kind="stable")[:SHOWN]
    return [{"class": names[k], "probability": float(scores[k])} for k in best]


def write_labels(results: Mapping[str, Sequence[Mapping[str, Any]]], outdir: Path) -> list[Path]:
    """predictions.json and predictions.csv of {file: its likeliest classes}."""
    write_json(outdir / TABLE, results)
    rows = [
        {"file": file, "rank": rank, **found}
        for file, answers in results.items()
        for rank, found in enumerate(answers, 1)
    ]
    write_csv(outdir / "predictions.csv", rows)
    return [outdir / TABLE, outdir / "predictions.csv"]
