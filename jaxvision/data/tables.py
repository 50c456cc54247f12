"""Tables as files of comma-separated values."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxvision.data.atomic_write import atomic_write


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows {column: value}, their columns those of the first; of numbers six digits. A stopped
    program leaves no half of it."""
    columns = list(rows[0]) if rows else []
    with atomic_write(path) as temporary, open(temporary, "w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(columns)
        for row in rows:
            values = (row.get(column, "") for column in columns)
            table.writerow([f"{v:.6f}" if isinstance(v, float) else v for v in values])
