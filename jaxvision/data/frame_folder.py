"""A video kept as one picture file per frame."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from jaxvision.errors import InputError


class FrameFolder:
    """Frames of a folder by number, with the face of `Video`.

    template: a file's name from its number, e.g. "img_{:05}.jpg".  first: the first file's number.
    Raises InputError, one line naming the file, for one that is missing or cannot be read.
    """

    def __init__(self, folder: str | Path, count: int, template: str, first: int = 1):
        self._folder, self._count = Path(folder), count
        self._template, self._first = template, first

    def __enter__(self) -> "FrameFolder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        pass

    def __len__(self) -> int:
        return self._count

    def frames(
        self, numbers: Sequence[int] | Int[np.ndarray, " n"]
    ) -> UInt8[np.ndarray, "n h w 3"]:
        """RGB frames by number (0-based; in any order, repeats allowed)."""
        read = {int(number): self._read(int(number)) for number in sorted(set(map(int, numbers)))}
        return np.stack([read[int(number)] for number in numbers])

    def _read(self, number: int) -> np.ndarray:
        path = self._folder / self._template.format(number + self._first)
        try:
            with Image.open(path) as image:
                return np.asarray(image.convert("RGB"))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
