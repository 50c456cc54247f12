"""Text files that name classes or list records, one a line."""

from pathlib import Path

from jaxvision.errors import InputError


def read_lines(path: str | Path) -> list[str]:
    """The lines of a list. InputError where it cannot be read."""
    try:
        return Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list ({error})") from error


def read_labels(path: str | Path) -> tuple[str, ...]:
    """Class names, one a line: the class count of a data set is their number."""
    names = tuple(line.strip() for line in read_lines(path) if line.strip())
    if not names:
        raise InputError(f"{path}: no class names; expected one a line")
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise InputError(f"{path}: class {sorted(repeated)[0]!r} comes twice")
    return names
