"""Damage done to a file: a function of the file's bytes and a generator, nothing else."""

import json
import random
from collections.abc import Callable
from typing import Any

# What parsers stumble over: ends of ranges, other alphabets' digits, paths, control characters.
WORDS = (
    *(
        b"",
        b"0",
        b"-1",
        b"1e999",
        b"nan",
        b"inf",
        b"9" * 400,
        b"2147483648",
        b"18446744073709551616",
    ),
    *(
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\x1b[2J",
        b"\n",
        b"\r\n",
        b"\t",
        b" ",
        b'"',
        b"{",
        b"[",
    ),
    *(
        "\u00b2".encode(),
        "\u0661".encode(),
        "\u2028".encode(),
        b"../../../x",
        b"/etc/x",
        b"[" * 5000,
    ),
)
VALUES = (
    *(
        None,
        True,
        0,
        -1,
        0.5,
        1e308,
        10**400,
        2**63,
        float("nan"),
        float("inf"),
        "",
        "\u00b2",
        "--5",
    ),
    *("../../../x", "/etc/x", "\x1b[2J" * 800, [], {}, [[]], [None], {"a": 1}, [1, 2], "x" * 5000),
)


def mutate(data: bytes, draw: random.Random) -> bytes:
    """`data` damaged in one to four ways."""
    for _ in range(draw.randint(1, 4)):
        ways: list[Callable[[bytes, random.Random], bytes]] = [flip, cut, double, swap, put_word]
        if data[:1] in (b"{", b"["):
            ways += [change_json] * 8
        data = draw.choice(ways)(data, draw)
    return data


def flip(data: bytes, draw: random.Random) -> bytes:
    """A few bits, near the front as often as anywhere: headers are there."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8, 64)) if data else 0):
        reach = draw.choice((len(data), min(len(data), 64)))
        changed[draw.randrange(reach)] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut(data: bytes, draw: random.Random) -> bytes:
    start, end = sorted(draw.randint(0, len(data)) for _ in range(2))
    return draw.choice((data[:start], data[:start] + data[end:]))


def double(data: bytes, draw: random.Random) -> bytes:
    start = draw.randint(0, len(data))
    end = min(len(data), start + draw.choice((1, 16, 4096)))
    return data[:end] + data[start:end] * draw.randint(1, 3) + data[end:]


def swap(data: bytes, draw: random.Random) -> bytes:
    first, second, third = sorted(draw.randint(0, len(data)) for _ in range(3))
    return data[:first] + data[second:third] + data[first:second] + data[third:]


def put_word(data: bytes, draw: random.Random) -> bytes:
    """A word beside, or in place of, another."""
    place, word = draw.randint(0, len(data)), draw.choice(WORDS)
    return data[:place] + word + data[place + draw.choice((0, len(word))) :]


def change_json(data: bytes, draw: random.Random) -> bytes:
    """One value in a JSON file replaced, left out, or put in twice."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return data
    holder: Any = value
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not keys:
            return data
        key = draw.choice(keys)
        if not isinstance(holder[key], (dict, list)) or draw.random() < 0.2:
            break
        if not holder[key]:
            break
        holder = holder[key]
    way = draw.choice(("replace", "replace", "replace", "drop", "another's"))
    if way == "drop":
        del holder[key]
    elif way == "another's":
        holder[key] = holder[draw.choice(keys)]
    else:
        holder[key] = draw.choice(VALUES)
    return json.dumps(value).encode()
