"""Every record's outputs by its index, so that no batching changes an evaluation's result."""

from collections.abc import Mapping
from typing import Any

import numpy as np

# Of all records, in their order: an array for each output.
Columns = dict[str, np.ndarray]


def collect(total: Any, outputs: Mapping[str, np.ndarray], index: np.ndarray, bucket: str) -> Any:
    """An `Evaluation`'s `accumulate`: {index: the row of each output}. A record that comes twice
    counts once."""
    total = {} if total is None else total
    for row, number in enumerate(index):
        total[int(number)] = {name: value[row] for name, value in outputs.items()}
    return total


def columns(total: Mapping[int, Mapping[str, np.ndarray]]) -> Columns:
    """What `collect` kept, as arrays in the order of the records."""
    rows = [total[number] for number in sorted(total)]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
