"""Every published training on a few machines: what fits, and how fast at most.

The table takes hours of compiling. Each answer is a line of JSON in a file as soon as it is known;
the same command goes on behind the last, and does not try again what ended the process before.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from jaxvision.errors import one_line
from jaxvision.planning.plan import Plan
from jaxvision.planning.report import gib, number, settings
from jaxvision.text_files import read_rows
from jaxvision.training.config import as_json

MACHINES = ("v5e:16x16", "v5p:4x4x8", "v6e:16x16", "tpu7x:4x4x4")
# Recipes for a laptop, and those whose sizes are the user's.
LEFT_OUT = {"demo", "own"}
# Settings of a network that change numbers and not what a training step costs.
RATES = re.compile("dropout|drop_path|init_scale|momentum|^interval$")
BEGUN = "begun, and the process ended"
COLUMNS = (
    *("recipe", "chips", "fits", "GiB of a chip", "step at least, s", "bound by"),
    *("chip-hours at least", "price"),
)


class Answer(NamedTuple):
    """said: "planned", or why there is no plan.  plans: of each bucket, as JSON."""

    recipe: str
    machine: str
    said: str
    plans: Sequence[Mapping[str, Any]] = ()


def distinct(names: Iterable[str], load: Callable[[str], ConfigDict]) -> list[str]:
    """One recipe of each network and stage: of those that differ in their data, schedule or rates
    alone, the one with the largest batch, than which the others cost no more."""
    found: dict[str, tuple[int, str]] = {}
    for name in sorted(names):
        if not LEFT_OUT.intersection(name.partition("/")[2].split("_")):
            config = as_json(load(name))
            shape = {"method": config["method"], "task": config["task"]["name"]}
            shape["dtype"] = config.get("dtype")
            for part in ("model", "teacher"):
                sizes = config.get(part) or {}
                shape[part] = {key: sizes[key] for key in sizes if not RATES.search(key)}
            key, batch = json.dumps(shape, sort_keys=True), config["train"]["batch_size"]
            if key not in found or batch > found[key][0]:
                found[key] = (batch, name)
    return [name for _, name in found.values()]


def fill(
    file: Path,
    work: Iterable[tuple[str, str]],
    plan: Callable[[str, str], Sequence[Plan]],
    say: Callable[[str], None],
) -> list[Answer]:
    """The answers to all of `work`, (recipe, machine) each; those that `file` lacks are asked."""
    answers = {(answer.recipe, answer.machine): answer for answer in read(file)}
    for key in work:
        if key in answers:
            continue
        say(f"{key[0]} on {key[1]}")
        _add(file, Answer(*key, BEGUN))
        try:
            plans = [each.as_json() for each in plan(*key)]
            answers[key] = Answer(*key, "planned", plans)
        except Exception as error:  # the others are asked, whatever a compiler says of this one
            reason = one_line(" ".join(str(error).split()), 200)
            answers[key] = Answer(*key, f"{type(error).__name__}: {reason}")
        _add(file, answers[key])
    return list(answers.values())


def read(file: Path) -> list[Answer]:
    """The last answer about each recipe and machine; none where there is no file."""
    rows = read_rows(file) if file.is_file() else []
    answers = (Answer(**row) for row in rows if row.keys() == set(Answer._fields))
    return list({(answer.recipe, answer.machine): answer for answer in answers}.values())


def _add(file: Path, answer: Answer) -> None:
    with file.open("ab+") as lines:
        # A line that a crash tore would swallow this one.
        end = lines.seek(0, os.SEEK_END)
        lines.seek(max(end - 1, 0))
        torn = lines.read(1) not in (b"", b"\n")
        lines.write(b"\n" * torn + json.dumps(answer._asdict()).encode() + b"\n")
        lines.flush()
        os.fsync(lines.fileno())


def tables(answers: Iterable[Answer]) -> str:
    """Markdown: a section of each machine, with a row of each of a recipe's buckets."""
    machines: dict[str, list[Answer]] = {}
    for answer in answers:
        machines.setdefault(answer.machine, []).append(answer)
    return "\n".join(f"## {name}\n\n{_table(found)}" for name, found in machines.items())


def _table(answers: Iterable[Answer]) -> str:
    lines = [f"| {' | '.join(COLUMNS)} |", "| --- " * len(COLUMNS) + "|"]
    for answer in sorted(answers):
        if not answer.plans:
            lines.append(f"| {answer.recipe} |  | {answer.said} |" + "  |" * 5)
        for each in answer.plans:
            size = f", {each['bucket']}" if len(answer.plans) > 1 else ""
            remedy = f"with {settings(each['remedy'])}" if each["remedy"] else "no"
            hours = each["days"] * 24 * each["chips"] if each["days"] else None
            cells = (
                answer.recipe + size,
                str(each["chips"]),
                "yes" if each["fits"] else remedy,
                f"{gib(each['peak'])} of {gib(each['capacity'])}",
                number(each["seconds"]) if each["seconds"] else "",
                each["bound"] or "",
                number(hours) if hours else "",
                number(each["price"]) if each["price"] else "",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
