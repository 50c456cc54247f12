"""Many inputs in a row: one that cannot be answered is named, and ends nothing."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxvision.data.file_state import state_of
from jaxvision.data.job_folder import NOTE
from jaxvision.data.shards import WHOLE, shard_in
from jaxvision.errors import InputError, Unanswered, one_line
from jaxvision.training.run_record import write_json
from jaxvision.viz.files import output_names

# What has been answered, beside the answers; and the note that says whose answers they are.
ANSWERED, JOB = "answered.json", NOTE
SAVE_EVERY_SECONDS = 2.0


def each_input(
    paths: Sequence[Path],
    outdir: Path,
    answer: Callable[[Path, str], Sequence[Path]],
    save: Callable[[], Sequence[Path]] = list,
) -> list[Path]:
    """`answer(path, name)` for every input, with an output name of its own each; the files written.

    answer: writes an input's files and returns them; InputError where the input is at fault.
    save: writes the tables about all inputs so far and returns them; called every few seconds, and
    at the end, whatever ends it.

    Of several inputs each is told as it is answered; those that cannot be are named at once, and
    all together in the `Unanswered` at the end. In the folder of a job (with a `job.json`) inputs
    that were answered before and have not changed since are passed over. In that of a shard only
    the shard's inputs are answered, under the names that they have among all.
    """
    shard = shard_in(outdir)
    if len(paths) == 1 and shard == WHOLE:
        return [*answer(paths[0], output_names(paths)[0]), *save()]
    earlier = earlier_table(outdir / ANSWERED)
    answered: dict[str, Any] = {}
    reasons: dict[Path, str] = {}
    written: list[Path] = []
    tables: Sequence[Path] = ()
    saved = time.monotonic()
    mine = shard.of(list(zip(paths, output_names(paths), strict=True)))
    try:
        for number, (path, name) in enumerate(mine, 1):
            state, key = state_of(path), str(path)
            before = earlier.get(key)
            if before and before["state"] == state and exist(outdir, before["files"]):
                files = [outdir / file for file in before["files"]]
                told = f"{path} (answered before)"
            else:
                try:
                    files = list(answer(path, name))
                    told = str(path)
                except InputError as error:
                    reasons[path] = str(error)
                    say(number, len(mine), f"no answer: {error}")
                    continue
            written += files
            answered[key] = {"state": state, "files": [str(f.relative_to(outdir)) for f in files]}
            say(number, len(mine), told)
            if time.monotonic() - saved > SAVE_EVERY_SECONDS:
                save()
                write_json(outdir / ANSWERED, answered)
                saved = time.monotonic()
    finally:
        if answered:
            tables = save()
            write_json(outdir / ANSWERED, answered)
    written += tables
    if reasons:
        raise Unanswered(reasons, len(mine), written)
    return written


def earlier_table(path: Path) -> dict[str, Any]:
    """What an earlier start of the same job wrote into a table, or {}."""
    if not (path.parent / JOB).is_file() or not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def exist(outdir: Path, files: Sequence[str]) -> bool:
    return all((outdir / file).is_file() for file in files)


def say(number: int, count: int, text: str) -> None:
    print(f"[{number}/{count}] {one_line(text)}", file=sys.stderr, flush=True)
