"""The files that records are listed with: are they there, do they open?"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from jaxvision.data import picture_files, video
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


def opened(files: list[Path]) -> Iterator[tuple[Path, str]]:
    """(file, why it does not open, or "") of each: the packets of a video are listed and its first
    frame decoded, a picture is decoded, any other file is there."""
    for path in files:
        try:
            if path.suffix.lower() in video.SUFFIXES:
                with video.Video(path) as film:
                    film.frames([0])
            elif path.suffix.lower() in picture_files.SUFFIXES:
                picture_files.read_picture(path)
            elif not path.exists():
                raise InputError("no such file")
        except InputError as error:
            yield path, str(error).removeprefix(f"{path}: ")
        else:
            yield path, ""
