"""How the stored pixels of a video are turned to stand upright: its display matrix."""

from typing import Any, NamedTuple

import av
import numpy as np
from jaxtyping import Shaped


class Orientation(NamedTuple):
    """One of the eight ways to lay a picture: rows and columns exchanged, then each one flipped."""

    transposed: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    @classmethod
    def of(cls, frame: av.VideoFrame) -> "Orientation":
        """What the frame's display matrix asks for; turns by other than quarters are rounded."""
        matrix: Any = frame.side_data.get("DISPLAYMATRIX")
        if matrix is None:
            return cls()
        return cls.of_matrix(np.frombuffer(bytes(matrix), np.int32).reshape(3, 3))

    @classmethod
    def of_matrix(cls, matrix: Shaped[np.ndarray, "3 3"]) -> "Orientation":
        """(column, row, 1) of a stored pixel, as a row vector, times `matrix` is where it is shown
        (rows count downwards)."""
        (a, b), (c, d) = matrix[:2, :2].astype(np.int64)
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(True, bool(b < 0), bool(c < 0))
        return cls(False, bool(d < 0), bool(a < 0))

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the upright picture; the same exchange leads back."""
        return (width, height) if self.transposed else (height, width)

    def upright(self, image: Shaped[np.ndarray, "h w ..."]) -> Shaped[np.ndarray, "h2 w2 ..."]:
        """The stored picture, turned; a view."""
        if self.transposed:
            image = image.swapaxes(0, 1)
        return image[
            slice(None, None, -1 if self.flip_rows else 1),
            slice(None, None, -1 if self.flip_columns else 1),
        ]
