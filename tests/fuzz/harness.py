"""Damaged inputs for every reader: none may hang, crash, trace back, or take gigabytes.

    PYTHONPATH=.:tests python tests/fuzz/harness.py --inputs 20000

prints a line for each reader, and every input that went wrong with the command that repeats it.
"""

import argparse
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

WORKER = Path(__file__).resolve().with_name("worker.py")
PATHS = (str(WORKER.parents[2]), str(WORKER.parents[1]))
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(PATHS)}
PATIENCE = 10.0  # s, of one input; the first also waits for imports
START = 120.0


def failures(reader: str, seed: int, first: int, last: int) -> list[str]:
    """What went wrong with inputs first .. last - 1; "" where nothing did."""
    found: list[str] = []
    while first < last:
        command = [sys.executable, str(WORKER), reader, *map(str, (seed, first, last))]
        process = subprocess.Popen(
            command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        begun, wrong = _follow(process, first, last, found)
        if begun is None:
            return found
        _, said = process.communicate()
        tail = said.strip().splitlines()[-1:] or [""]
        found.append(f"input {begun}: {wrong or f'ended with {process.returncode}: {tail[0]}'}")
        first = begun + 1
    return found


def _follow(
    process: subprocess.Popen, first: int, last: int, found: list[str]
) -> tuple[int | None, str]:
    """(the input a worker ended at, why it was ended); None where it has done all."""
    assert process.stdout is not None
    lines: queue.Queue[str] = queue.Queue()
    stream = process.stdout

    def forward() -> None:
        for line in stream:
            lines.put(line)
        lines.put("")

    threading.Thread(target=forward, daemon=True).start()
    begun, wait = first, START
    while True:
        try:
            line = lines.get(timeout=wait)
        except queue.Empty:
            process.kill()
            return begun, f"nothing for {wait:g} s"
        if not line:
            return begun, ""
        row, wait = json.loads(line), PATIENCE
        begun = row.get("begun", begun)
        if row.get("wrong"):
            found.append(f"input {row['done']}: {row['wrong']}")
        if row.get("done") == last - 1:
            process.communicate()
            return None, ""


def main(argv: Sequence[str] | None = None) -> int:
    from fuzz.readers import READERS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=20_000, help="over all readers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", nargs="+", choices=READERS, default=list(READERS))
    arguments = parser.parse_args(argv)
    each = -(-arguments.inputs // len(arguments.reader))
    total = 0
    for reader in arguments.reader:
        found = failures(reader, arguments.seed, 0, each)
        total += len(found)
        print(f"{reader}: {each} inputs, {len(found)} went wrong", flush=True)
        for line in found[:5]:
            print(f"  {line}\n  again: {WORKER.name} {reader!r} {arguments.seed} N N+1")
    print(f"{each * len(arguments.reader)} inputs, {total} went wrong")
    return min(total, 1)


if __name__ == "__main__":
    raise SystemExit(main())
