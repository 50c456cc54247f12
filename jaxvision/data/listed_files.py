"""The files that records are listed with: are they there, do they open?"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from jaxvision.data import picture_files, video
from jaxvision.data.conversions import Note, collecting
from jaxvision.data.source import Records, Source
from jaxvision.errors import InputError

LOOKED_FOR = 16  # files of a training set: before minutes of compilation, not all of it


def listed_files(source: Source | Mapping[str, Source]) -> list[Path]:
    """The files of a source's records, each once, where they know them."""
    sources = source.values() if isinstance(source, Mapping) else (source,)
    found: dict[Path, None] = {}
    for each in sources:
        found |= dict.fromkeys(_files_of(each.records))
    return list(found)


def _files_of(records: Records) -> list[Path]:
    return getattr(records, "files", list)()


def look_for_some(source: Source | Mapping[str, Source]) -> None:
    """InputError where none of a few of a source's files is there, those all over its list: a root
    or a list that is not meant. Some may lack, which the loader replaces; not nearly all."""
    files = listed_files(source)
    some = files[:: max(len(files) // LOOKED_FOR, 1)]
    if some and not any(path.exists() for path in some):
        raise InputError(
            f"{some[0]}: no such file, which the training data list; there is none of the "
            f"{len(some)} that were looked for of {len(files)}"
        )


class Opened(NamedTuple):
    """reason: why a file does not open; "" where it does.  notes: what its reader changed."""

    path: Path
    reason: str
    notes: Sequence[Note] = ()


def opened(files: Sequence[Path]) -> Iterator[Opened]:
    """Open each, several at a time: the packets of a video are listed and its first frame decoded,
    a picture is decoded, any other file is there."""
    with ThreadPoolExecutor() as pool:
        yield from pool.map(_open, files)


def _open(path: Path) -> Opened:
    suffix = path.suffix.lower()
    with collecting() as notes:
        try:
            if suffix in video.SUFFIXES:
                with video.Video(path) as film:
                    film.frames([0])
            elif suffix in picture_files.SUFFIXES:
                picture_files.read_picture(path)
            elif not path.exists():
                raise InputError("no such file")
        except InputError as error:
            return Opened(path, str(error).removeprefix(f"{path}: "))
    return Opened(path, "", notes)
