"""The one reader of text files and the one of JSON, and what a number in a text is.

A damaged or foreign file is an InputError that names the file and the place in it.
"""

import contextlib
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args

from jaxvision.errors import InputError, one_line, reading
from jaxvision.stores.stored_path import path_to

# What a JSON value should be: a type (float: any finite number, int: of 64 bits), several types
# (float | None), a test whose name says what it looks for, [each of a list], (each of a list of so
# many), {"key": value, "key that may lack?": value} or {str: each value of a table}.
Shape = Any

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True)
class OrNull:
    """A shape, or null."""

    shape: Any


def read_text(path: str | Path) -> str:
    """A UTF-8 file, with or without a byte order mark; lines end in "\\n". InputError where it
    cannot be read or is in another encoding."""
    with reading(path, "text"):
        data = path_to(path).read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path}: text in UTF-16; expected UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: byte {error.start} is not UTF-8 text") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: str | Path) -> list[str]:
    """The lines of a text file; errors as above."""
    lines = read_text(path).split("\n")
    return lines if lines[-1] else lines[:-1]


def integer(text: str) -> int | None:
    """The whole number that `text` is, in ASCII digits (at most 18), or None."""
    return int(text) if _INTEGER.fullmatch(text.strip()) else None


def number(text: str) -> float | None:
    """The finite number that `text` is, or None."""
    text = text.strip()
    value = float(text) if _NUMBER.fullmatch(text) else math.inf
    return value if math.isfinite(value) else None


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A table of JSON (an `object_pairs_hook`); ValueError where a key stands twice, since neither
    value is the right one."""
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise ValueError(f"the key {key!r} stands twice")
        table[key] = value
    return table


def read_json(path: str | Path, shape: Shape = object) -> Any:
    """The value in a JSON file. InputError where it cannot be read, is no JSON, is nested too
    deeply, names a key of a table twice, or has another shape, whose place the message names."""
    text = read_text(path)
    try:
        value = json.loads(text, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({one_line(str(error), 200)})") from None
    check_shape(value, shape, path)
    return value


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """The tables in a file of one JSON table a line; a line that a crash tore is left out."""
    rows = []
    for line in read_lines(path):
        with contextlib.suppress(ValueError, RecursionError):
            rows.append(json.loads(line))
    return [row for row in rows if type(row) is dict]


def check_shape(value: Any, shape: Shape, source: object) -> None:
    """InputError that names `source` and the place in `value` which has another shape."""
    if fits(shape)(value):
        return
    for place, wrong in misfits(value, shape):
        where = f"{place.removeprefix('.')}: " if place else ""
        raise InputError(f"{source}: {where}{wrong}")


def fits(shape: Shape) -> Callable[[Any], bool]:
    """Whether a value has a shape. Tables of millions of records are looked through: the place of
    a fault is only looked for where there is one."""
    if isinstance(shape, OrNull):
        inner = fits(shape.shape)
        return lambda value: value is None or inner(value)
    if isinstance(shape, list):
        item = fits(shape[0])
        return lambda value: type(value) is list and all(map(item, value))
    if isinstance(shape, tuple):
        items, length = [fits(each) for each in shape], len(shape)
        return lambda value: (
            type(value) is list
            and len(value) == length
            and all(item(each) for item, each in zip(items, value, strict=True))
        )
    if isinstance(shape, dict) and str in shape:
        item = fits(shape[str])
        return lambda value: type(value) is dict and all(map(item, value.values()))
    if isinstance(shape, dict):
        needed = [(key, fits(each)) for key, each in shape.items() if not key.endswith("?")]
        others = [(key[:-1], fits(each)) for key, each in shape.items() if key.endswith("?")]
        return lambda value: (
            type(value) is dict
            and all(key in value and item(value[key]) for key, item in needed)
            and all(item(value[key]) for key, item in others if key in value)
        )
    if shape in (str, bool, dict):
        return lambda value: type(value) is shape
    return lambda value: _is_a(value, shape)


def misfits(value: Any, shape: Shape) -> Iterator[tuple[str, str]]:
    """(place, what is wrong there) of everything in `value` that does not have its shape."""
    if isinstance(shape, OrNull):
        if value is not None:
            yield from misfits(value, shape.shape)
    elif isinstance(shape, (list, tuple)):
        yield from _list_misfits(value, shape)
    elif isinstance(shape, dict):
        yield from _table_misfits(value, shape)
    elif not _is_a(value, shape):
        names = " or ".join(_called(kind) for kind in get_args(shape) or (shape,))
        yield "", f"{_shown(value)}; expected {names}"


def _shown(value: Any) -> str:
    try:
        return one_line(repr(value), 80)
    except RecursionError:
        return "a value nested too deeply"


def _list_misfits(value: Any, shape: list | tuple) -> Iterator[tuple[str, str]]:
    if type(value) is not list:
        yield "", f"{_shown(value)}; expected a list"
        return
    if isinstance(shape, tuple) and len(value) != len(shape):
        yield "", f"{len(value)} values; expected {len(shape)}"
        return
    shapes = shape * len(value) if isinstance(shape, list) else shape
    for place, (item, of_item) in enumerate(zip(value, shapes, strict=True)):
        for below, wrong in misfits(item, of_item):
            yield f"[{place}]{below}", wrong


def _table_misfits(value: Any, shape: dict) -> Iterator[tuple[str, str]]:
    if type(value) is not dict:
        yield "", f"{_shown(value)}; expected a table"
        return
    named = dict.fromkeys(value, shape[str]) if str in shape else shape
    for key, of_item in named.items():
        name = key if str in shape else key.removesuffix("?")
        if name not in value:
            if name == key:
                yield "", f"no {key!r} in it"
            continue
        for below, wrong in misfits(value[name], of_item):
            yield f".{one_line(name, 80)}{below}", wrong


def _is_a(value: Any, shape: Any) -> bool:
    if shape is object:
        return True
    if isinstance(shape, UnionType):
        return any(_is_a(value, kind) for kind in get_args(shape))
    if shape is float:
        return type(value) in (int, float) and abs(value) < 1e308
    if shape is int:
        return type(value) is int and abs(value) < 1 << 63
    return type(value) is shape if isinstance(shape, type) else shape(value)


def _called(kind: Any) -> str:
    words = {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}
    words |= {type(None): "null", dict: "a table", list: "a list"}
    return words.get(kind) or kind.__name__.replace("_", " ")


def number_or_nan(value: Any) -> bool:
    return _is_a(value, float) or (type(value) is float and math.isnan(value))


def a_count(value: Any) -> bool:
    return _is_a(value, int) and value >= 0


def at_least_1(value: Any) -> bool:
    return _is_a(value, int) and value >= 1


def a_token(value: Any) -> bool:
    """Letters, digits, - and _: a name of a record that may become part of a file's."""
    return type(value) is str and _TOKEN.fullmatch(value) is not None


def a_file_name(value: Any) -> bool:
    """The name of a file in its folder."""
    whole = type(value) is str and value not in ("", "..") and "\0" not in value
    return whole and Path(value).name == value
