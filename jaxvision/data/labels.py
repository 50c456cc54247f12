"""Text files that name classes, one a line."""

from collections import Counter
from pathlib import Path

from jaxvision.errors import InputError
from jaxvision.text_files import read_lines


def unquoted(text: str) -> str:
    """`text` without the quotes around the whole of it, as spreadsheets write names and paths."""
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text


def read_labels(path: str | Path) -> tuple[str, ...]:
    """Class names, one a line: the class count of a data set is their number."""
    names = tuple(unquoted(line) for line in read_lines(path) if line.strip())
    if not names:
        raise InputError(f"{path}: no class names; expected one a line")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(f"{path}: class {min(repeated)!r} comes twice")
    return names
