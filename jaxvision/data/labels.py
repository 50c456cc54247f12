"""Text files that name classes or list records, one a line."""

from pathlib import Path

from jaxvision.errors import InputError


def read_lines(path: str | Path) -> list[str]:
    """The lines of a list, as any editor writes them: with a byte order mark or without, whatever
    ends its lines. InputError where it cannot be read."""
    try:
        return Path(path).read_text("utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read as a list: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read as a list ({error})") from error


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
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise InputError(f"{path}: class {sorted(repeated)[0]!r} comes twice")
    return names
