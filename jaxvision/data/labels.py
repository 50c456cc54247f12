"""What names classes: text files, one a line, and the lists of public data sets."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxvision.data.class_lists import SOURCES, class_list
from jaxvision.errors import InputError, nearest
from jaxvision.stores.stored_path import path_to
from jaxvision.text_files import read_lines

# A row of a table of numbers and names.
_NUMBERED = re.compile(r"\d+\s*[,;\t]")


def unquoted(text: str) -> str:
    """`text` without the quotes around the whole of it, as spreadsheets write names and paths
    (quotes in them twice)."""
    text = text.strip()
    quote = text[:1]
    if len(text) < 2 or quote not in "\"'" or text[-1] != quote:
        return text
    inner = text[1:-1].replace(2 * quote, "\0")
    return text if quote in inner else inner.replace("\0", quote)


def names_wanted(train: str, what: str, suffixes: Sequence[str]) -> InputError:
    """Where nothing says what the classes are called.

    train: the file that `data.train` names, "" where it names none.  what: that it is where it is
    no list but ends as one of `suffixes`.
    """
    if train.lower().endswith(tuple(suffixes)):
        return InputError(
            f"data.train={train}: a {what}; expected a folder of class folders, or a list"
        )
    labels = f"a file of class names, one a line, or a list of {', '.join(SOURCES)}"
    if not train:
        return InputError(
            "nothing names the classes, nor do the weights: expected data.train, a folder of class "
            f"folders of {what}s, or data.labels, {labels}"
        )
    return InputError(
        f"data.labels: expected {labels}; neither the weights nor a folder of class folders in "
        f"data.train names them; data.train={train} names none, a list does not"
    )


def read_labels(path: str | Path) -> tuple[str, ...]:
    """Class names, one a line: the class count of a data set is their number.

    path: a file, or the name of one of `class_lists`.
    """
    if not path_to(path).exists():
        if str(path) in SOURCES:
            return class_list(str(path))
        if not Path(path).suffix:
            raise InputError(f"data.labels={path}: no such file{nearest(str(path), SOURCES)}")
    names = tuple(unquoted(line) for line in read_lines(path) if line.strip())
    if not names:
        raise InputError(f"{path}: no class names; expected one a line")
    if names[0].startswith(("[", "{")) or all(map(_NUMBERED.match, names[1:] or names)):
        raise InputError(f"{path}: {names[-1]!r}: expected names alone, one a line")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(f"{path}: class {min(repeated)!r} comes twice")
    return names


def naming(data: Mapping[str, Any], *keys: str) -> str:
    """What of a config's `data` says what its classes are called, for messages: the first of `keys`
    that is not empty."""
    key = next((name for name in keys if data.get(name)), None)
    if key is None:
        return "the data"
    short = isinstance(data[key], (str, int))  # tables and lists are long
    return f"the data (data.{key}={data[key]})" if short else f"the data (data.{key})"


def check_same_names(found: Sequence[str], expected: Sequence[str], where: str) -> None:
    """InputError with the first difference where classes are not called what they were called when
    the weights were trained.  where: what names them `found`."""
    if tuple(found) == tuple(expected):
        return
    lacking = [name for name in expected if name not in found]
    strange = [name for name in found if name not in expected]
    named = "".join(
        f"; {what} {', '.join(map(repr, names[:3]))}"
        for what, names in (("it lacks", lacking), ("it adds", strange))
        if names
    )
    if len(found) != len(expected):
        raise InputError(
            f"{where}: {len(found)} classes, but the weights were trained on {len(expected)}{named}"
        )
    for number, (name, trained) in enumerate(zip(found, expected, strict=True)):
        if name != trained:
            # Sorted names move up where one is another: then the first difference is not the cause.
            told = named if name in expected or trained in found else ""
            raise InputError(
                f"{where}: class {number} is {name!r}, but the weights were trained with "
                f"{trained!r} there{told}"
            )
