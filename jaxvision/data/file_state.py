"""Whether a file is still the one that it was: its size and time, and those of what is read with
it."""

from pathlib import Path

# What may lie beside an input NAME and be read with it: words, truth, labels, people.
BESIDE = (".txt", ".json", ".label", "_people.json")


def state_of(path: Path) -> list[int]:
    """Size and time of a file, of those read with it, or of those in a folder: others under
    their names have others. [] where there is none."""
    if path.is_dir():
        files = [file for file in path.iterdir() if file.is_file()]
    else:
        files = [path, *(path.with_name(path.stem + ending) for ending in BESIDE)]
    found = [_size_and_time(file) for file in sorted(set(files))]
    return [number for numbers in found for number in numbers]


def _size_and_time(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]
