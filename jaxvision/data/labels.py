"""Text files that name classes, one a line."""

from collections import Counter
from pathlib import Path

from jaxvision.errors import InputError
from jaxvision.text_files import read_lines


def read_labels(path: str | Path) -> tuple[str, ...]:
    """Class names, one a line: the class count of a data set is their number."""
    names = tuple(line.strip() for line in read_lines(path) if line.strip())
    if not names:
        raise InputError(f"{path}: no class names; expected one a line")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(f"{path}: class {min(repeated)!r} comes twice")
    return names
