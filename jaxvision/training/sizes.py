"""Sizes that no run can have, in one line, before anything is built of them."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ml_collections import ConfigDict

from jaxvision.errors import InputError
from jaxvision.training.config import leaves
from jaxvision.training.settings import SETTINGS

# Of the engine's own settings the others may be 0, or are checked where a run begins.
OF_ENGINE = ("train.batch_size", "data.threads")
Key = str


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What a method says of its sizes. Keys that a recipe has not are passed over.

    least: of the whole numbers of a setting or of all in a table, where it is not 1; None: anything
        may be.  positive: settings whose numbers are above 0, whole or not.
    not_negative: they are 0 or more.  shares: from 0 to 1.
    divisors: {key: the key whose numbers its own divides}.  lengths: how many numbers a tuple has.
    """

    least: Mapping[Key, int | None] = field(default_factory=dict)
    positive: tuple[Key, ...] = ()
    not_negative: tuple[Key, ...] = ()
    shares: tuple[Key, ...] = ()
    divisors: Mapping[Key, Key] = field(default_factory=dict)
    lengths: Mapping[Key, int] = field(default_factory=dict)

    def least_of(self, key: Key) -> int | None:
        named = (low for name, low in self.least.items() if f"{key}.".startswith(f"{name}."))
        return next(named, 1)


def check_sizes(config: ConfigDict, sizes: Sizes) -> None:
    """InputError that names the first setting of a method that cannot be as it is."""
    settings = dict(leaves(config.to_dict()))
    for key, value in settings.items():
        if is_of_engine(key) and key not in OF_ENGINE:
            continue
        length = sizes.lengths.get(key)
        if length is not None and len(value) != length:
            raise InputError(f"{key}={value}: expected {length} numbers")
        lowest = sizes.least_of(key)
        for number in _numbers(value):
            if type(number) is int and lowest is not None and number < lowest:
                raise InputError(f"{key}={value}: expected at least {lowest}")
            if key in sizes.not_negative and not 0 <= number < math.inf:
                raise InputError(f"{key}={value}: expected a finite number, 0 or more")
            if key in sizes.shares and not 0 <= number <= 1:
                raise InputError(f"{key}={value}: expected a share, from 0 to 1")
            if key in sizes.positive and not number > 0:
                raise InputError(f"{key}={value}: expected a number above 0")
    for key, whole in sizes.divisors.items():
        for number in _numbers(settings.get(whole)):
            for divisor in _numbers(settings.get(key)):
                if divisor and number % divisor:
                    raise InputError(f"{whole} by {key}: {number} does not divide by {divisor}")


def is_of_engine(key: Key) -> bool:
    """Whether a setting, or a table that it stands in, is the engine's (a schedule's numbers)."""
    parts = key.split(".")
    return any(".".join(parts[:depth]) in SETTINGS for depth in range(1, len(parts) + 1))


def _numbers(value: Any) -> Iterator[int | float]:
    """The numbers of a setting: itself, or those of a tuple, whatever is in it."""
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value
