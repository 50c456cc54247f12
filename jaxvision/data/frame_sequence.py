"""Videos kept as one picture per frame: read by number, with the methods that a `Video` has."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Int, UInt8

from jaxvision.data.picture_files import read_picture, read_with_notes
from jaxvision.errors import InputError
from jaxvision.stores.stored_path import path_to

Picture = UInt8[np.ndarray, "h w 3"]


def decode_picture(encoded: bytes, name: str = "a picture") -> Picture:
    """RGB of a picture file's bytes, upright. InputError where they are none."""
    return np.asarray(read_with_notes(encoded, name).image)


class FrameSequence:
    """Frames by number. Opens as a context manager, as a `Video` does; there is nothing to close.

    A subclass says how many frames there are and reads them. name: of the video, for errors.
    """

    name: str

    def __enter__(self) -> "FrameSequence":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        pass

    def __len__(self) -> int:
        raise NotImplementedError

    def _read(self, numbers: Sequence[int]) -> Sequence[Picture]:
        """The frames `numbers`, which ascend and lie inside the video. InputError for one that
        cannot be read."""
        raise NotImplementedError

    def frames(
        self, numbers: Sequence[int] | Int[np.ndarray, " n"]
    ) -> UInt8[np.ndarray, "n h w 3"]:
        """RGB frames by number (0-based; in any order, repeats allowed).

        InputError, one line naming the video or file, for a number outside the video and for a
        frame that cannot be read.
        """
        wanted = sorted({int(number) for number in numbers})
        outside = [number for number in wanted if not 0 <= number < len(self)]
        if outside:
            raise InputError(f"{self.name}: no frame {outside[0]} among {len(self)}")
        found = dict(zip(wanted, self._read(wanted), strict=True))
        return np.stack([found[int(number)] for number in numbers])


class FrameFolder(FrameSequence):
    """Picture files of a folder.

    template: a file's name from its number, e.g. "img_{:05}.jpg".  first: the first file's number.
    """

    def __init__(self, folder: str | Path, count: int, template: str, first: int = 1):
        self.name = str(folder)
        self._count, self._template, self._first = count, template, first

    def __len__(self) -> int:
        return self._count

    def _read(self, numbers: Sequence[int]) -> list[Picture]:
        return [self._picture(number) for number in numbers]

    def _picture(self, number: int) -> Picture:
        path = path_to(self.name) / self._template.format(number + self._first)
        return np.asarray(read_picture(path))


class EncodedFrames(FrameSequence):
    """JPEG or PNG bytes in memory, one picture a frame, decoded when asked for."""

    def __init__(self, pictures: Sequence[bytes], name: str):
        self._pictures, self.name = pictures, name

    def __len__(self) -> int:
        return len(self._pictures)

    def _read(self, numbers: Sequence[int]) -> list[Picture]:
        return [self._picture(number) for number in numbers]

    def _picture(self, number: int) -> Picture:
        return decode_picture(self._pictures[number], f"{self.name}: frame {number}")
