"""Answer files with files: pictures, tables and videos of what a trained model says."""

import argparse
from pathlib import Path

SUMMARY = "run a trained model on files, folders or globs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from jaxvision.cli.options import add_config, add_workdir

    parser.add_argument("inputs", nargs="+", help="files, folders or quoted globs")
    add_config(parser, required=False)
    add_workdir(parser, required=False)
    parser.add_argument(
        "--weights", type=Path, help="instead of a workdir: converted weights or an official file"
    )
    parser.add_argument("--step", type=int, help="a checkpoint's step (default: the newest)")
    parser.add_argument(
        "--out", type=Path, default=Path("predictions"), help="default: predictions"
    )


def run(arguments: argparse.Namespace) -> int:
    from jaxvision.errors import writing
    from jaxvision.loading import load_run

    paths = find_inputs(arguments.inputs)
    task, _, variables = load_run(
        arguments.config, arguments.overrides, arguments.workdir, arguments.weights, arguments.step
    )
    with writing(arguments.out):
        arguments.out.mkdir(parents=True, exist_ok=True)
        for path in task.predict_files(variables, paths, arguments.out):
            print(path)
    return 0


def find_inputs(words: list[str]) -> list[Path]:
    """Every file the words name; InputError for a word that names none."""
    import glob

    from jaxvision.errors import InputError

    paths: dict[Path, None] = {}  # in order, each once
    for word in words:
        path = Path(word)
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.is_file())
        else:
            found = [path] if path.is_file() else sorted(Path(p) for p in glob.glob(word))
        if not found:
            raise InputError(f"{word}: no such file, folder or match")
        paths |= dict.fromkeys(found)
    return list(paths)
