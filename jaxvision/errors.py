"""The one error that means "what you gave me is wrong", and how to name the nearest right thing."""

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """Bad input. The message is one line: the file, key or shape at fault, and what was expected.

    The command line prints it without a traceback and exits with status 2.
    """


FEW = 24  # names that one line can hold


def nearest(wrong: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the closest of `known`; where none is close all of them, or the
    least distant of many."""
    known = sorted(known)
    close = difflib.get_close_matches(wrong, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    if len(known) > FEW:
        least = difflib.get_close_matches(wrong, known, n=5, cutoff=0.0)
        return f"; nearest of {len(known)}: {', '.join(least)}"
    return f"; known: {', '.join(known)}"
