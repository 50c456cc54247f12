"""A video held in memory as one encoded picture per frame."""

import io
from collections.abc import Sequence
from types import TracebackType

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from jaxvision.errors import InputError


def decode_picture(encoded: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """RGB of a JPEG or PNG file's bytes. OSError where they are none."""
    with Image.open(io.BytesIO(encoded)) as image:
        return np.asarray(image.convert("RGB"))


class EncodedFrames:
    """Frames by number, decoded when asked for; with the face of `Video`.

    pictures: JPEG or PNG bytes, one a frame.  name: of the video, for errors.
    """

    def __init__(self, pictures: Sequence[bytes], name: str):
        self._pictures, self._name = pictures, name

    def __enter__(self) -> "EncodedFrames":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        pass

    def __len__(self) -> int:
        return len(self._pictures)

    def frames(
        self, numbers: Sequence[int] | Int[np.ndarray, " n"]
    ) -> UInt8[np.ndarray, "n h w 3"]:
        """RGB frames by number (0-based; in any order, repeats allowed).

        InputError for a number outside the video and for a picture that does not decode.
        """
        found: dict[int, np.ndarray] = {}
        for number in sorted({int(number) for number in numbers}):
            if not 0 <= number < len(self):
                raise InputError(f"{self._name}: no frame {number} among {len(self)}")
            try:
                found[number] = decode_picture(self._pictures[number])
            except (OSError, ValueError) as error:
                raise InputError(f"{self._name}: frame {number} does not decode") from error
        return np.stack([found[int(number)] for number in numbers])
