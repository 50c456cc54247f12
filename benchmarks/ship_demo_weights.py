"""A trained demo into `jaxvision/demo_weights`: float16, with what made it and what it reaches.

    python benchmarks/ship_demo_weights.py NAME WORKDIR --told "{camera/psnr:.1f} dB ..."
    python benchmarks/ship_demo_weights.py emavfi/demo runs/emavfi --told "..."

The run must be of the recipe as it is today. What was written is evaluated, and printed beside what
the run itself measured; --told may name the numbers in braces. --recipe: of a demo in several
stages, the last one's name with its arguments; --command: what trained it, in order (once each).
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from jaxvision import __version__
from jaxvision.cli.main import main as run_command
from jaxvision.downloads.shipped import FOLDER, RECORD
from jaxvision.errors import InputError
from jaxvision.loading import config_of, read_workdir
from jaxvision.registry import load_config
from jaxvision.training.config import as_json, difference
from jaxvision.training.run_record import class_names_of, write_json
from jaxvision.training.task import Task
from jaxvision.weights import convert
from jaxvision.weights.mapping import flatten, unflatten

MOST_BYTES = 1_500_000
# Where a run started from, and what only its training reads, may be other places.
PLACES = ("init",)


def rounded(path: str, value: np.ndarray) -> np.ndarray:
    """A parameter in float16; statistics and tables as they are. InputError where it is too
    large."""
    value = np.asarray(value)
    if not path.startswith("params/") or value.dtype != np.float32:
        return value
    half = value.astype(np.float16)
    if not np.isfinite(half).all():
        raise InputError(f"{path}: has values beyond float16")
    return half


def check_recipe(recipe: str, overrides: list[str], workdir: Path) -> None:
    """InputError where the run is not of the recipe as it is today."""
    trained = as_json(load_config(str(config_of(workdir))))
    today = as_json(load_config(recipe, overrides))
    for key in PLACES:
        trained.pop(key), today.pop(key)
    if lines := difference(trained, today):
        raise InputError(f"{workdir}: a run of another config: {'; '.join(lines)}")


def write(name: str, recipe: str, workdir: Path) -> int:
    """The weights as a folder of ours; returns how many numbers."""
    found = flatten(read_workdir(workdir, without=Task.training_only))
    kept = {path: rounded(path, value) for path, value in found.items()}
    origin = convert.Origin(name, classes=class_names_of(workdir))
    convert.save(FOLDER / name, convert.Converted(unflatten(kept), {}, origin))
    size = (FOLDER / name / convert.VARIABLES).stat().st_size
    if size > MOST_BYTES:
        raise InputError(f"{name}: {size} bytes; expected at most {MOST_BYTES}")
    return int(sum(np.size(value) for value in kept.values()))


def measured(name: str, recipe: str, overrides: list[str]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as out:
        words = ["evaluate", f"--config={recipe}", f"--weights={FOLDER / name}", f"--out={out}"]
        status = run_command([*words, *(f"--config.{word}" for word in overrides)])
        if status:
            raise SystemExit(status)
        return json.loads((Path(out) / "results.json").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name")
    parser.add_argument("workdir", type=Path)
    parser.add_argument("--told", required=True)
    parser.add_argument("--recipe", default="")
    parser.add_argument("--setting", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--command", action="append", default=[])
    arguments = parser.parse_args()
    name, workdir = arguments.name, arguments.workdir
    recipe = arguments.recipe or name
    check_recipe(recipe, arguments.setting, workdir)
    count = write(name, recipe, workdir)
    numbers = measured(name, recipe, arguments.setting)
    start = json.loads((workdir / "runs.jsonl").read_text().splitlines()[-1])
    own = f"jaxvision train --config {recipe} --workdir runs/{name.replace('/', '_')}"
    record = {
        "recipe": recipe,
        "commands": arguments.command or [own],
        "seed": int(load_config(recipe, arguments.setting).seed),
        "parameters": count,
        "measured": {key: round(float(value), 6) for key, value in numbers.items()},
        "told": arguments.told.format(**{k: v for k, v in numbers.items()}),
        "commit": (start["commit"] or "")[:12],
        "version": __version__,
    }
    write_json(FOLDER / name / RECORD, record)
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    last = {k: v for row in rows for k, v in row.items() if k.startswith("evaluate/")}
    print(f"{name}: {count:,} numbers; {record['told']}")
    for key, value in numbers.items():
        print(
            f"  {key}: {value:.6g} (the run itself: {last.get(f'evaluate/{key}', 'not measured')})"
        )


if __name__ == "__main__":
    main()
