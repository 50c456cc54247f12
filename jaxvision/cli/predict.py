"""Answer files with files: pictures, tables and videos of what a trained model says."""

import argparse
import sys
from collections.abc import Sequence
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
    from jaxvision.errors import Unanswered, check_writable, writing
    from jaxvision.loading import load_run

    paths = find_inputs(arguments.inputs)
    check_writable(arguments.out)
    task, _, variables = load_run(
        arguments.config, arguments.overrides, arguments.workdir, arguments.weights, arguments.step
    )
    paths = only_readable(paths, arguments.inputs, task.input_suffixes)
    with writing(arguments.out):
        arguments.out.mkdir(parents=True, exist_ok=True)
        try:
            written = task.predict_files(variables, paths, arguments.out)
        except Unanswered as some:
            for path in some.written:
                print(path)
            raise
        for path in written:
            print(path)
    return 0


def only_readable(paths: list[Path], words: list[str], suffixes: Sequence[str]) -> list[Path]:
    """`paths` without what folders and matches of `words` hold beside data: hidden files and those
    of other suffixes, counted. What was named itself stays. InputError where nothing is left."""
    from jaxvision.data.folders import choose, skipped_text
    from jaxvision.errors import InputError

    folders = [Path(word) for word in words if Path(word).is_dir()]
    named = {Path(word) for word in words}

    def below(path: Path) -> Path:
        """The folder that a path was found in; its own parent, of a match."""
        return next((f for f in folders if path.is_relative_to(f)), path.parent)

    chosen = choose(((path, below(path)) for path in paths if path not in named), suffixes)
    files = named | set(chosen.files)
    kept = [path for path in paths if path in files]
    if not kept:
        expected = f"expected {', '.join(suffixes)}" if suffixes else "only hidden files"
        raise InputError(f"{' '.join(words)}: nothing to read ({expected})")
    if chosen.skipped:
        print(f"skipped: {skipped_text(chosen.skipped)}", file=sys.stderr)
    return kept


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
