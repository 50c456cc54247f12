"""Optical flow as colours."""

import numpy as np
from jaxtyping import Float, UInt8

# Lengths of the transitions red-yellow-green-cyan-blue-magenta-red in Baker et al.'s colour wheel
# (A Database and Evaluation Methodology for Optical Flow, IJCV 2011).
TRANSITIONS = (15, 6, 4, 11, 13, 6)


def colour_wheel() -> Float[np.ndarray, "n 3"]:
    """RGB in [0, 1] around the circle of directions."""
    corners = np.array(
        [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1], [1, 0, 0]], float
    )
    parts = []
    for number, count in enumerate(TRANSITIONS):
        share = np.arange(count)[:, None] / count
        parts.append(corners[number] * (1 - share) + corners[number + 1] * share)
    return np.concatenate(parts)


def flow_picture(
    flow: Float[np.ndarray, "h w 2"], largest: float | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Direction as hue, length as saturation.

    largest: the length (pixels) of full saturation; the 99th percentile where None. Longer vectors
    are darker.
    """
    length = np.linalg.norm(flow, axis=-1)
    if largest is None:
        largest = float(np.percentile(length, 99))
    radius = length / max(largest, 1e-6)
    wheel = colour_wheel()
    place = (np.arctan2(-flow[..., 1], -flow[..., 0]) / np.pi + 1) / 2 * (len(wheel) - 1)
    low = np.floor(place).astype(int)
    share = (place - low)[..., None]
    hue = wheel[low] * (1 - share) + wheel[(low + 1) % len(wheel)] * share
    inside = 1 - radius[..., None] * (1 - hue)
    colour = np.where(radius[..., None] <= 1, inside, 0.75 * hue)
    return np.round(255 * colour).astype(np.uint8)
