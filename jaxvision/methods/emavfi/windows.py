"""Cutting a feature map into attention windows, and which tokens of a window may meet.

Everything about shapes is NumPy at trace time: the labels depend only on the true map size. (The
reference caches masks by the product of the padded sides, so its result can depend on the sizes it
saw before; here every size has its own.)
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num

MASKED = -100.0


@dataclass(frozen=True)
class WindowGrid:
    """How a map of `height` x `width` tokens is cut: window side and cyclic shift, in tokens."""

    height: int
    width: int
    window: int = 7
    shift: int = 0

    @property
    def padding(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """((top, bottom), (left, right)): up to multiples of the window, centred."""
        pads = [-side % self.window for side in (self.height, self.width)]
        return tuple((pad // 2, pad - pad // 2) for pad in pads)  # type: ignore[return-value]

    @property
    def padded(self) -> tuple[int, int]:
        (top, bottom), (left, right) = self.padding
        return self.height + top + bottom, self.width + left + right

    @property
    def count(self) -> int:
        """Windows of one map."""
        height, width = self.padded
        return (height // self.window) * (width // self.window)

    def partition(self, x: Num[Array, "... h w c"]) -> Num[Array, "... n t c"]:
        """Zero-pad, roll by -shift, cut into row-major windows of row-major tokens."""
        leading, channels = x.shape[:-3], x.shape[-1]
        x = jnp.pad(x, [(0, 0)] * len(leading) + [*self.padding, (0, 0)])
        if self.shift:
            x = jnp.roll(x, (-self.shift, -self.shift), axis=(-3, -2))
        height, width = self.padded
        side = self.window
        x = x.reshape(*leading, height // side, side, width // side, side, channels)
        return jnp.swapaxes(x, -4, -3).reshape(*leading, self.count, side * side, channels)

    def merge(self, windows: Num[Array, "... n t c"]) -> Num[Array, "... h w c"]:
        """Inverse of `partition`: undo the windows and the roll, crop the padding."""
        leading, channels = windows.shape[:-3], windows.shape[-1]
        height, width = self.padded
        side = self.window
        x = windows.reshape(*leading, height // side, width // side, side, side, channels)
        x = jnp.swapaxes(x, -4, -3).reshape(*leading, height, width, channels)
        if self.shift:
            x = jnp.roll(x, (self.shift, self.shift), axis=(-3, -2))
        (top, _), (left, _) = self.padding
        return x[..., top : top + self.height, left : left + self.width, :]

    def _labels(self, rows: np.ndarray, columns: np.ndarray) -> Int[np.ndarray, "n t"]:
        side = self.window
        labels = 3 * rows[:, None] + columns[None, :]
        cut = labels.reshape(len(rows) // side, side, len(columns) // side, side)
        return cut.swapaxes(1, 2).reshape(self.count, side * side)

    def padding_labels(self) -> Int[np.ndarray, "n t"]:
        """Before, inside or after the true map, per axis (section 2.3 of the reference's masks)."""
        rows, columns = (
            np.repeat([0, 1, 2], [before, side, after])
            for side, (before, after) in zip((self.height, self.width), self.padding, strict=True)
        )
        return self._labels(rows, columns)

    def shift_labels(self) -> Int[np.ndarray, "n t"]:
        """Regions that were no neighbours before the roll."""
        rows, columns = (
            np.repeat([0, 1, 2], [side - self.window, self.window - self.shift, self.shift])
            for side in self.padded
        )
        return self._labels(rows, columns)

    def mask(self) -> Float[Array, "n t t"] | None:
        """0 or -100, added to the logits; None where every pair may meet.

        The padding labels are not rolled with the tokens. So in shifted blocks some true pairs are
        cut and some tokens see padding: the published weights were trained with it.
        """
        apart = None
        if self.padded != (self.height, self.width):
            apart = _differ(self.padding_labels())
        if self.shift:
            shifted = _differ(self.shift_labels())
            apart = shifted if apart is None else apart | shifted
        return None if apart is None else jnp.where(apart, MASKED, 0.0)


def _differ(labels: np.ndarray) -> Array:
    # Compared on the device: the table of pairs is a window's area times larger than the labels.
    label = jnp.asarray(labels, jnp.int8)
    return label[:, :, None] != label[:, None, :]


def coordinate_grid(height: int, width: int) -> Float[np.ndarray, "h w 2"]:
    """(x, y) of every token in [-1, 1], end points included; a side of one token gives -1."""
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)
    return np.stack(np.meshgrid(x, y), axis=-1)
