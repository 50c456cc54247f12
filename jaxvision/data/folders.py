"""Folders as people keep them: what editors, systems and notes leave in them is no data."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxvision.errors import InputError

# Folders that an archive or a system adds beside what a person put there.
FOREIGN = (
    *("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information"),
    "lost+found",
)
# What parts of a data set are called; a folder that has only those has no classes.
PARTS = {"train", "training", "val", "valid", "validation", "test", "testing"}
MOST_CLASSES = 20  # that a line about classes names


class FoundFiles(NamedTuple):
    """skipped: how many files were passed over, by suffix, and "hidden"."""

    files: tuple[Path, ...]
    skipped: Mapping[str, int]


def is_hidden(path: Path, below: Path) -> bool:
    """Whether a file or folder, or one that it lies in below `below`, is hidden (`.DS_Store`,
    `._a.mp4`, `.ipynb_checkpoints`) or made by a system."""
    return any(part.startswith(".") or part in FOREIGN for part in path.relative_to(below).parts)


def files_below(folder: Path, suffixes: Collection[str]) -> FoundFiles:
    """The files below a folder that have one of `suffixes`, sorted, hidden ones left out. Links to
    nowhere and pipes count, too: who reads them names them; links to folders are not followed."""
    there = sorted(folder.rglob("*"))
    found = choose(((path, folder) for path in there if not path.is_dir()), suffixes)
    linked = sum(path.is_symlink() and path.is_dir() for path in there)
    return FoundFiles(
        found.files, {**found.skipped, **({"linked folder": linked} if linked else {})}
    )


def choose(files: Iterable[tuple[Path, Path]], suffixes: Collection[str]) -> FoundFiles:
    """Those of `files`, each with the folder it was looked for in, that are not hidden and have one
    of `suffixes` (any, where there are none)."""
    kept: list[Path] = []
    skipped: Counter[str] = Counter()
    for path, below in files:
        if is_hidden(path, below):
            skipped["hidden"] += 1
        elif suffixes and path.suffix.lower() not in suffixes:
            skipped[path.suffix.lower() or "no suffix"] += 1
        else:
            kept.append(path)
    return FoundFiles(tuple(kept), dict(skipped))


def class_folders(root: Path) -> tuple[str, ...]:
    """Names of the folders in `root`, sorted, hidden ones left out."""
    return tuple(sorted(p.name for p in root.iterdir() if p.is_dir() and not is_hidden(p, root)))


def classes_in(root: Path) -> tuple[str, ...]:
    """Names of the classes that have a folder each in `root`. InputError where those are the parts
    of a data set: the classes lie one folder below."""
    names = class_folders(root)
    if len(names) > 1 and {name.lower() for name in names} <= PARTS:
        raise InputError(
            f"{root}: its folders are {', '.join(names)}: parts of a data set, no classes; "
            f"expected one of them ({root / names[0]})"
        )
    return names


def files_by_class(
    root: Path, names: Sequence[str], suffixes: Collection[str], what: str
) -> tuple[dict[str, tuple[Path, ...]], dict[str, int]]:
    """(files of each class folder of `root`, what was skipped). InputError for a folder that is
    none of the classes `names`, and for one without files.  what: "videos" or "pictures"."""
    found: dict[str, tuple[Path, ...]] = {}
    skipped: Counter[str] = Counter()
    folders = class_folders(root)
    loose = choose(((path, root) for path in root.iterdir() if not path.is_dir()), suffixes)
    if loose.files:
        skipped[f"{what} in no class's folder"] += len(loose.files)
    for name in folders:
        if name not in names:
            raise no_class(root / name, names)
        files, passed = files_below(root / name, suffixes)
        skipped.update(passed)
        if not files:
            there = f"; it holds {skipped_text(passed)}" if passed else ""
            expected = ", ".join(sorted(suffixes))
            raise InputError(f"{root / name}: an empty class: no {what} there ({expected}){there}")
        found[name] = files
    return found, dict(skipped)


def no_class(folder: Path, names: Sequence[str]) -> InputError:
    """What is said of a folder that is none of the classes `names`."""
    return InputError(
        f"{folder}: its name is none of the {len(names)} classes ({', '.join(names[:8])}): a "
        "folder of no class"
    )


def skipped_text(skipped: Mapping[str, int]) -> str:
    """E.g. "3 .txt, 1 hidden"."""
    return ", ".join(f"{count} {kind}" for kind, count in sorted(skipped.items()))


def classes_text(
    labels: Sequence[int], names: Sequence[str], what: str, skipped: Mapping[str, int]
) -> str:
    """A line about labelled records: how many each class has, and what was skipped; of records
    without classes their number."""
    if not names:
        return f"{len(labels)} {what}"
    counts = Counter(labels)
    shown = ", ".join(f"{name} {counts[n]}" for n, name in enumerate(names[:MOST_CLASSES]))
    more = ", ..." if len(names) > MOST_CLASSES else ""
    left = f"; skipped: {skipped_text(skipped)}" if skipped else ""
    return f"{len(labels)} {what} of {len(names)} classes: {shown}{more}{left}"
