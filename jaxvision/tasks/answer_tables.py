"""What a classifier said of every record of an evaluation: tables, and pictures of the worst."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from jaxvision.data.source import Source
from jaxvision.errors import InputError
from jaxvision.viz.video import strip

Row = Mapping[str, Any]
WORST = 8  # records that are drawn
FRAMES = ("video", "picture", "rgb")  # fields of a sample that can be drawn, by preference


def of_records(
    probabilities: Float[np.ndarray, "n classes"],
    labels: Int[np.ndarray, " n"],
    names: Sequence[str],
    records: Sequence[str],
) -> list[Row]:
    """A row a record: the likeliest class, the label, their probabilities, the label's rank (1 is
    right). Without a label (below 0) what is said of it is empty."""
    rows: list[Row] = []
    for record, label, scores in zip(records, labels, probabilities, strict=True):
        best = int(np.argmax(scores))
        row = {"record": record, "class": names[best], "probability": float(scores[best])}
        if label < 0:
            row |= {"label": "", "label_probability": "", "rank": ""}
        else:
            # As `metrics.multi_view.top_k` breaks ties.
            order = np.argsort(-scores, kind="stable")
            row |= {
                "label": names[label],
                "label_probability": float(scores[label]),
                "rank": int(np.flatnonzero(order == label)[0]) + 1,
            }
        rows.append(row)
    return rows


def of_classes(counts: Int[np.ndarray, "k k"], names: Sequence[str]) -> list[Row]:
    """A row a class: its records, the share that was named right (recall), the share of what was
    called so that is (precision), and what it is most often taken for. Empty where nothing is.

    counts: records of each class (rows) taken for each (columns).
    """
    rows: list[Row] = []
    for number, name in enumerate(names):
        right, records, said = counts[number, number], counts[number].sum(), counts[:, number].sum()
        others = counts[number].copy()
        others[number] = 0
        wrong = int(np.argmax(others))
        rows.append(
            {
                "class": name,
                "records": int(records),
                "recall": float(right / records) if records else "",
                "precision": float(right / said) if said else "",
                "most_taken_for": names[wrong] if others[wrong] else "",
                "times": int(others[wrong]),
            }
        )
    return rows


def worst_pictures(
    source: Source, order: Sequence[tuple[int, str]]
) -> dict[str, UInt8[np.ndarray, "height width 3"]]:
    """One picture of the first WORST records that can be drawn.  order: (number in `source`, text
    beside it), the worst first. {} where none can."""
    rows: dict[str, UInt8[np.ndarray, "t h w 3"]] = {}
    for number, text in order[:WORST]:
        try:
            made = source.transform(source.records[number], np.random.default_rng(0), "")
        except InputError:
            continue
        sample = made[0] if isinstance(made, list) else made
        pixels = next((sample[name] for name in FRAMES if name in sample), None)
        if pixels is not None:
            # A name twice would be one row.
            rows[f"{text}{' ' * len(rows)}"] = pixels if pixels.ndim == 4 else pixels[None]
    return {"worst": strip(rows)} if rows else {}
