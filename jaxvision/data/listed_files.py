"""The files that records are listed with: are they there, do they open?"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from jaxvision.data import picture_files, video
from jaxvision.data.conversions import Note, collecting
from jaxvision.data.source import Records, Source
from jaxvision.errors import InputError


def listed_files(source: Source | Mapping[str, Source]) -> list[Path]:
    """The files of a source's records, each once, where they know them."""
    sources = source.values() if isinstance(source, Mapping) else (source,)
    found: dict[Path, None] = {}
    for each in sources:
        found |= dict.fromkeys(_files_of(each.records))
    return list(found)


def _files_of(records: Records) -> list[Path]:
    return getattr(records, "files", list)()


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
