"""Bicubic frames against the definition, written out for one row."""

import numpy as np

from jaxvision.data.bicubic import bicubic_uint8

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 9, 12, 3), np.uint8)


def weight(distance: float) -> float:
    """Keys' kernel of coefficient -0.75."""
    a, x = -0.75, abs(distance)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def resized_row(row: np.ndarray, new: int) -> np.ndarray:
    old, out = len(row), []
    for place in range(new):
        centre = (place + 0.5) * old / new - 0.5
        base = int(np.floor(centre))
        near = range(base - 1, base + 3)
        out.append(sum(weight(centre - n) * row[min(max(n, 0), old - 1)] for n in near))
    return np.array(out)


def test_one_axis_by_hand():
    got = bicubic_uint8(FRAMES, (9, 7))
    for channel in range(3):
        wanted = resized_row(FRAMES[1, 4, :, channel].astype(float), 7)
        difference = np.clip(np.rint(wanted), 0, 255) - got[1, 4, :, channel]
        assert np.abs(difference).max() <= 1


def test_rows_are_resized_as_columns_are():
    turned = bicubic_uint8(FRAMES.swapaxes(1, 2), (7, 9)).swapaxes(1, 2)
    difference = turned.astype(int) - bicubic_uint8(FRAMES, (9, 7))
    assert np.abs(difference).max() <= 1


def test_frames_of_the_size_stay_as_they_are():
    assert bicubic_uint8(FRAMES, (9, 12)) is FRAMES


def test_values_are_cut_and_not_wrapped():
    edge = np.zeros((1, 4, 4, 1), np.uint8)
    edge[:, :, 2:] = 255
    got = bicubic_uint8(edge, (8, 8))[0, 0, :, 0]
    assert got.tolist() == sorted(got.tolist())
    assert (got[0], got[-1]) == (0, 255)
