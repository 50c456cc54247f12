"""The answers of every shard in one folder, as if one machine had answered all inputs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxvision.data.atomic_write import atomic_write
from jaxvision.data.job_folder import NOTE
from jaxvision.data.shards import FINISHED
from jaxvision.errors import InputError
from jaxvision.text_files import read_json
from jaxvision.viz.files import TABLES


def gather_answers(folders: Sequence[Path], outdir: Path) -> None:
    """Move what lies in `folders`, in their order, into `outdir`, and join their tables.

    The shards named their answers among all inputs, so no two have one name; InputError where they
    do, or where `outdir` holds another file of that name. What is drawn of a table (CSV, pages) is
    left behind: `predict` makes it anew of the joined ones. Stopped, it goes on where it was.
    """
    joined: dict[str, dict[str, Any]] = {}
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = path.relative_to(folder)
            about_all = path.parent == folder and path.stem in TABLES
            if path in (folder / NOTE, folder / FINISHED) or (about_all and path.suffix != ".json"):
                continue
            if about_all:
                earlier = joined.get(path.name, {})
                joined[path.name] = union(earlier, read_json(path, dict), path)
                continue
            if (outdir / name).exists():
                raise InputError(f"{path}: {outdir} holds a {name} already")
            (outdir / name).parent.mkdir(parents=True, exist_ok=True)
            path.rename(outdir / name)
    for table, entries in joined.items():
        with atomic_write(outdir / table) as temporary:
            Path(temporary).write_text(json.dumps(entries))


def union(one: Mapping[str, Any], other: Mapping[str, Any], source: Path) -> dict[str, Any]:
    """The entries of two tables, and of tables in them. InputError where they contradict."""
    both = {**one, **other}
    for key in one.keys() & other.keys():
        if isinstance(one[key], dict) and isinstance(other[key], dict):
            both[key] = union(one[key], other[key], source)
        elif one[key] != other[key]:
            raise InputError(f"{source}: {key}: another shard says otherwise")
    return both
