"""Look before you train: the resolved config, every parameter's shape and sharding, one batch.

Settings that are not the engine's defaults come first, each with the place that set it.

Nothing is trained and no parameter is made. The files of the evaluations are opened, one by one: a
run reads them when it has trained already. Exit status 2 where more do not open than
evaluate.max_unreadable allows.
"""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SUMMARY = "the resolved config, parameters, shardings, and one batch as pictures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from jaxvision.cli.options import add_config, mounted_folder

    add_config(parser)
    parser.add_argument(
        "--out",
        type=mounted_folder,
        metavar="DIR",
        help="write one batch as pictures (and its arrays) here",
    )


def run(arguments: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from jaxvision.data.listed_files import listed_files
    from jaxvision.errors import check_writable
    from jaxvision.registry import load_config, make_task
    from jaxvision.training.config import check_choices
    from jaxvision.training.run import prepare_run
    from jaxvision.training.state import parameter_groups
    from jaxvision.weights.mapping import flatten

    if arguments.out is not None:
        check_writable(arguments.out)
    config = load_config(arguments.config, arguments.overrides)
    check_choices(config)
    task = make_task(config)
    prepared = prepare_run(task, config)
    console = Console(soft_wrap=True)
    if not console.is_terminal:
        console.width = 240  # rows that a pipe should get whole

    table = Table("setting", "value", "set in", "what it is", box=None, header_style="bold")
    for row in setting_rows(config, arguments.config, arguments.overrides):
        table.add_row(*row)
    console.print(table)

    params = prepared.target.variables()["params"]
    groups = parameter_groups(task, params)
    table = Table(
        "parameter", "shape", "sharding", "trained", "decay", "lr", box=None, header_style="bold"
    )
    for path, leaf in sorted(flatten(params).items()):
        group = groups[path]
        table.add_row(
            path, str(leaf.shape), str(leaf.sharding.spec), *(str(value) for value in group)
        )
    console.print(table)
    total = sum(leaf.size for leaf in flatten(params).values())
    console.print(f"{total:,} parameters; mesh {dict(prepared.mesh.shape)}", highlight=False)
    for fallback in prepared.fallbacks:
        console.print(f"sharding: {fallback}", highlight=False)

    host_batch = prepared.data[0]
    table = Table("batch field", "shape", "dtype", "range", box=None, header_style="bold")
    for name, array in host_batch.arrays.items():
        bounds = f"{array.min()} .. {array.max()}" if array.size else ""
        table.add_row(name, str(array.shape), str(array.dtype), bounds)
    console.print(table)
    console.print(f"records: {', '.join(host_batch.names[:8])} ...", highlight=False)
    if "label" in host_batch.arrays:
        console.print(labels_text(host_batch.arrays["label"], task.class_names), markup=False)
    for source in {id(s): s for s in prepared.data.sources.values()}.values():
        if hasattr(source.records, "summary"):
            console.print(f"data: {source.records.summary()}", highlight=False, markup=False)
    for note in host_batch.converted:
        console.print(f"converted: {note.kind}: {note.where}", highlight=False, markup=False)
    unreadable = 0
    for name, evaluation in task.evaluations().items():
        for line in summaries(evaluation.source):
            console.print(f"{name}: {line}", highlight=False, markup=False)
        unreadable += open_files(name, listed_files(evaluation.source), console)
    if arguments.out is not None:
        for picture in write_batch(host_batch.arrays, arguments.out):
            console.print(f"picture: {picture}", highlight=False)
    return 2 if unreadable > config.evaluate.max_unreadable else 0


def labels_text(labels: Any, names: Sequence[str]) -> str:
    """How often each class is in a batch, by name; labels below 0 are none."""
    counts = Counter(int(label) for label in labels.reshape(-1))
    found = [
        f"{names[label] if 0 <= label < len(names) else label} {count}"
        for label, count in sorted(counts.items())
    ]
    return f"labels: {', '.join(found)}"


def summaries(source: Any) -> list[str]:
    """What the records of one source, or of one a bucket, say of themselves: classes, counts."""
    sources = source.values() if isinstance(source, Mapping) else [source]
    records = {id(s.records): s.records for s in sources}.values()
    return [each.summary() for each in records if hasattr(each, "summary")]


def open_files(name: str, files: list[Path], console: Any) -> int:
    """Open every file of an evaluation, name those that do not; how many they are."""
    from rich.progress import track

    from jaxvision.data.conversions import Conversions
    from jaxvision.data.listed_files import opened

    if not files:
        return 0
    conversions, unreadable = Conversions(), 0
    for file in track(opened(files), name, total=len(files), console=console, transient=True):
        conversions.add(file.notes)
        if file.reason:
            line = f"{name}: unreadable: {file.path}: {file.reason}"
            console.print(line, highlight=False, markup=False)
            unreadable += 1
    for line in conversions.lines():
        console.print(f"{name}: {line}", highlight=False, markup=False)
    console.print(f"{name}: {len(files)} files, {unreadable} unreadable", highlight=False)
    return unreadable


def setting_rows(config: Any, recipe: str, overrides: list[str]) -> list[tuple[str, ...]]:
    """(key, value, where it was set, a line about it) of every setting: first those that differ
    from the engine's defaults, then those that do not."""
    from jaxvision.registry import line_about, settings
    from jaxvision.training.config import base_config, leaves
    from jaxvision.training.origins import origins_of

    lines, origins = settings(config.method), origins_of(recipe, overrides)
    defaults, nothing = dict(leaves(base_config().to_dict())), object()
    changed: list[tuple[str, ...]] = []
    unchanged: list[tuple[str, ...]] = []
    for key, value in leaves(config.to_dict()):
        differs = value != defaults.get(key, nothing)
        row = (key, str(value), origins.get(key, "") if differs else "", line_about(key, lines))
        (changed if differs else unchanged).append(row)
    return changed + unchanged


def write_batch(arrays: dict, out: Path) -> list[Path]:
    """Every field of a batch that looks like pictures or video, as one picture."""
    import numpy as np

    from jaxvision.viz.files import write_png
    from jaxvision.viz.video import strip

    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, array in arrays.items():
        if array.dtype != np.uint8 or array.shape[-1] != 3 or array.ndim not in (4, 5):
            continue
        videos = array[:8] if array.ndim == 5 else array[:8, None]
        picture = np.concatenate([strip({str(i): video}) for i, video in enumerate(videos)])
        write_png(out / f"batch_{name}.png", picture)
        written.append(out / f"batch_{name}.png")
    return written
