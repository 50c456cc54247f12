"""Answer files with files: pictures, tables and videos of what a trained model says."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

SUMMARY = "run a trained model on files, folders or globs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from jaxvision.cli.options import add_shard, add_trained_model
    from jaxvision.stores.stored_path import path_to

    parser.add_argument(
        "inputs", nargs="+", help="files, folders or quoted globs, also in object storage (gs://)"
    )
    add_trained_model(parser)
    add_shard(parser)
    parser.add_argument(
        "--out",
        type=path_to,
        default=Path("predictions"),
        help="a folder, also in object storage; default: predictions",
    )


def run(arguments: argparse.Namespace) -> int:
    from jaxvision.data.job_folder import NOTE, job_folder
    from jaxvision.data.shards import asked_shard, remove_shards, shard_folder, shards_to_merge
    from jaxvision.errors import Unanswered, writing
    from jaxvision.loading import config_of, load_run
    from jaxvision.registry import load_config
    from jaxvision.stores.staging import check_out, kept_in_store, local_folder
    from jaxvision.training.config import as_json
    from jaxvision.viz.gathering import gather_answers
    from jaxvision.weights.fingerprint import fingerprint

    # 1. What is asked, of which files, and with which weights.
    shard = asked_shard(arguments.shard)
    staged = local_folder(arguments.out, str(shard or ""))
    out = staged.folder
    paths = find_inputs(arguments.inputs, arguments.out)
    check_out(staged)
    task, _, variables = load_run(
        arguments.config, arguments.overrides, arguments.workdir, arguments.weights, arguments.step
    )
    paths = only_readable(paths, arguments.inputs, task.input_suffixes, task.beside_endings)
    config = load_config(arguments.config or str(config_of(arguments.workdir)), arguments.overrides)
    job_config = as_json(config)
    job = {
        "config": job_config,
        "weights": fingerprint(variables),
        "inputs": [str(path.resolve()) for path in paths],
        "files": states_of_files(job_config["data"]),
    }
    # 2. A shard's answers, in a folder of its own: finished, too, where some inputs have none.
    if shard is not None:
        unanswered: list[Unanswered] = []
        with (
            kept_in_store(staged, NOTE, shard.needs),
            writing(out),
            shard_folder(out, shard, job) as folder,
        ):
            try:
                answer_files(task, variables, paths, folder, staged.shown)
            except Unanswered as some:
                unanswered.append(some)
        if unanswered:
            raise unanswered[0]
        return 0
    # 3. Everyone's: those of the shards are passed over as answered before.
    with kept_in_store(staged, NOTE):
        shards = shards_to_merge(out, job, arguments.merge)
        with writing(out), job_folder(out, job):
            gather_answers(shards, out)
            try:
                answer_files(task, variables, paths, out, staged.shown)
            except Unanswered:
                remove_shards(shards)
                raise
            remove_shards(shards)
    return 0


def answer_files(
    task: Any, variables: Any, paths: list[Path], out: Path, shown: Callable[[Path], str]
) -> None:
    """Answer `paths` into `out`; say what was written, and what was read otherwise than it is."""
    from jaxvision.data.conversions import Conversions, collecting
    from jaxvision.errors import Unanswered

    conversions = Conversions()
    with collecting() as notes:
        try:
            written = task.predict_files(variables, paths, out)
        except Unanswered as some:
            for path in some.written:
                print(shown(path))
            raise
        finally:
            conversions.add(notes)
            for line in conversions.lines():
                print(line, file=sys.stderr)
        for path in written:
            print(shown(path))


def states_of_files(data: Mapping[str, Any]) -> dict[str, list[int]]:
    """Size and time of every file that the `data` of a config names: sentences, class names, boxes
    may be others another time."""
    from jaxvision.data.file_state import state_of
    from jaxvision.stores.stored_path import is_there, path_to

    named = {key: value for key, value in data.items() if isinstance(value, str) and value}
    return {
        f"data.{key}": state_of(path_to(value))
        for key, value in named.items()
        if is_there(value)  # False for a sentence of any length
    }


def only_readable(
    paths: list[Path], words: list[str], suffixes: Sequence[str], beside: Sequence[str] = ()
) -> list[Path]:
    """`paths` without what folders and matches of `words` hold beside data: hidden files and those
    of other suffixes, counted. What was named itself stays. InputError where nothing is left.

    beside: endings of what is read with an input (a.txt, a_people.json with a.mp4): no input, and
    not skipped.
    """
    from jaxvision.data.folders import choose, skipped_text
    from jaxvision.errors import InputError
    from jaxvision.stores.stored_path import path_to

    folders = [path_to(word) for word in words if path_to(word).is_dir()]
    named = {path_to(word) for word in words}

    def below(path: Path) -> Path:
        """The folder that a path was found in; its own parent, of a match."""
        return next((f for f in folders if path.is_relative_to(f)), path.parent)

    chosen = choose(((path, below(path)) for path in paths if path not in named), suffixes)
    files = named | set(chosen.files)
    kept = [path for path in paths if path in files]
    if not kept:
        expected = f"expected {', '.join(suffixes)}; " if suffixes else ""
        there = skipped_text(chosen.skipped)
        raise InputError(f"{' '.join(words)}: nothing to read ({expected}there are {there})")
    used = {path.with_name(f"{path.stem}{ending}") for path in kept for ending in beside}
    others = choose(((p, below(p)) for p in paths if p not in named | used), suffixes)
    if others.skipped:
        print(f"skipped: {skipped_text(others.skipped)}", file=sys.stderr)
    return kept


def find_inputs(words: list[str], out: Path) -> list[Path]:
    """Every file the words name, those of a folder in the order of the numbers in their names.

    Answers of an earlier run, in `out`, are no inputs: those that a folder or a match holds are
    passed over and counted. InputError for a word that names nothing else.
    """
    from jaxvision.data.sequence_names import in_order
    from jaxvision.errors import InputError
    from jaxvision.stores.stored_path import matches, path_to

    paths: dict[Path, None] = {}  # in order, each once
    for word in words:
        path = path_to(word)
        if path.is_dir():
            found = in_order(p for p in path.rglob("*") if p.is_file())
        else:
            found = [path] if path.is_file() else in_order(matches(word))
        if not found:
            raise InputError(f"{word}: no such file, folder or match")
        inputs = [p for p in found if not p.resolve().is_relative_to(out.resolve())]
        if not inputs:
            raise InputError(f"{word}: lies in {out}, where answers are written")
        if len(inputs) < len(found):
            answers = len(found) - len(inputs)
            print(f"{word}: {answers} files in {out} are answers: passed over", file=sys.stderr)
        paths |= dict.fromkeys(inputs)
    return list(paths)
