"""Reads damaged inputs, one after another, in a process of its own: harness.py starts it.

    PYTHONPATH=.:tests python tests/fuzz/worker.py READER SEED FIRST LAST

A line of JSON for each on stdout: {"begun": number}, then {"done": number, "wrong": why or ""}.
"""

import json
import random
import resource
import shutil
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

from fuzz.mutations import mutate
from fuzz.readers import READERS
from jaxvision.errors import MOST, InputError

MOST_MEMORY = 3 << 30  # bytes, beside what the process has after its imports


def main(reader: str, seed: int, first: int, last: int) -> None:
    make, read = READERS[reader]
    warnings.simplefilter("ignore")
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MOST_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with tempfile.TemporaryDirectory() as folder:
        right = Path(folder) / "right"
        right.mkdir()
        make(right)
        read(right)  # undamaged, it can be read
        files = sorted(path.relative_to(right) for path in right.rglob("*") if path.is_file())
        for number in range(first, last):
            say(begun=number)
            draw = random.Random(f"{reader}/{seed}/{number}")
            damaged = Path(folder) / "damaged"
            shutil.copytree(right, damaged)
            file = damaged / draw.choice(files)
            file.write_bytes(mutate(file.read_bytes(), draw))
            say(done=number, wrong=what_is_wrong(read, damaged))
            shutil.rmtree(damaged)


def what_is_wrong(read, folder: Path) -> str:
    """ "" where a reader returned, or refused what it read in one line."""
    try:
        read(folder)
    except InputError as error:
        if isinstance(error.__cause__, MemoryError):
            return "asked for more memory than there is"
        if len(str(error)) > MOST + 60 or not str(error).isprintable():
            return f"a message of {len(str(error))} characters: {str(error)[:80]!r}"
        return ""
    except BaseException:
        return traceback.format_exc(limit=-6)
    return ""


def say(**line: object) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
