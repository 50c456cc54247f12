"""KITTI scene flow 2015, as the benchmark's own program counts it: D1, D2, Fl and SF outliers.

Estimates are filled before they are scored; a pixel is an outlier when its error is above 3 pixels
and above 5 % of the true value; rates pool the pixels of all images.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

MEASURES = ("D1", "D2", "Fl", "SF")
PARTS = ("background", "foreground", "all")
ABSOLUTE, RELATIVE = 3.0, 0.05


class Frame(NamedTuple):
    """Both disparities and the flow of a frame, in pixels of the first image.

    disparity_1, disparity_2: 0 where there is none.  flow: 0 where there is none.
    """

    disparity_1: Float[np.ndarray, "h w"]
    disparity_2: Float[np.ndarray, "h w"]
    flow: Float[np.ndarray, "h w 2"]
    flow_valid: Bool[np.ndarray, "h w"]


class Counts(NamedTuple):
    """errors, pixels: [measure, part, 2]; the last axis is all pixels, and those that had an
    estimate before filling."""

    errors: Int[np.ndarray, "4 3 2"]
    pixels: Int[np.ndarray, "4 3 2"]


def fill(
    values: Float[np.ndarray, "h w c"], valid: Bool[np.ndarray, "h w"]
) -> tuple[Float[np.ndarray, "h w c"], Bool[np.ndarray, "h w"]]:
    """Missing estimates filled: a gap in a row takes the lesser of its two ends, channel by
    channel, a row's border its nearest value, and then a column's empty top and bottom the nearest
    filled value. A row without any value between others stays empty."""
    values, valid = values.copy(), valid.copy()
    for row, known in zip(values, valid, strict=True):
        places = np.flatnonzero(known)
        if not len(places):
            continue
        columns = np.arange(len(row))
        right = np.searchsorted(places, columns)
        after = places[np.minimum(right, len(places) - 1)]
        before = places[np.maximum(right - 1, 0)]
        gap = ~known
        row[gap] = np.minimum(row[before], row[after])[gap]
        known[:] = True
    filled = np.flatnonzero(valid.any(axis=1))
    if len(filled):
        first, last = filled[0], filled[-1]
        values[:first], valid[:first] = values[first], valid[first]
        values[last + 1 :], valid[last + 1 :] = values[last], valid[last]
    return values, valid


def fill_frame(frame: Frame) -> Frame:
    """All three maps of an estimate filled; a disparity that stays empty is -1."""
    disparities = []
    for disparity in (frame.disparity_1, frame.disparity_2):
        values, valid = fill(disparity[..., None], disparity > 0)
        disparities.append(np.where(valid, values[..., 0], -1).astype(np.float32))
    first, second = disparities
    return Frame(first, second, *fill(frame.flow, frame.flow_valid))


def count(estimate: Frame, truth: Frame, objects: UInt8[np.ndarray, "h w"]) -> Counts:
    """Outliers of one image. objects: 0 is background."""
    filled = fill_frame(estimate)
    valid, own, wrong = [], [], []
    for name in ("disparity_1", "disparity_2"):
        found, true = getattr(filled, name), getattr(truth, name)
        error = np.abs(found - true)
        valid.append(true > 0)
        own.append(getattr(estimate, name) > 0)
        wrong.append(_outlier(error, true))
    flow = np.where(filled.flow_valid[..., None], filled.flow, 0)
    valid.append(truth.flow_valid)
    own.append(estimate.flow_valid)
    wrong.append(_outlier(_length(flow - truth.flow), _length(truth.flow)))
    valid.append(np.logical_and.reduce(valid))
    own.append(own[0])
    wrong.append(np.logical_or.reduce(wrong))
    parts = (objects == 0, objects > 0, np.ones(objects.shape, bool))
    errors, pixels = np.zeros((2, len(MEASURES), len(PARTS), 2), np.int64)
    for m in range(len(MEASURES)):
        for p, part in enumerate(parts):
            for e, counted in enumerate((valid[m] & part, valid[m] & part & own[m])):
                errors[m, p, e] = np.sum(wrong[m] & counted)
                pixels[m, p, e] = np.sum(counted)
    return Counts(errors, pixels)


def _length(vectors: Float[np.ndarray, "h w 2"]) -> Float[np.ndarray, "h w"]:
    return np.sqrt(np.sum(np.square(vectors), axis=-1))


def _outlier(error: np.ndarray, true: np.ndarray) -> Bool[np.ndarray, "h w"]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return (error > ABSOLUTE) & (error / np.abs(true) > RELATIVE)


def rates(counts: Counts) -> Float[np.ndarray, "4 3 2"]:
    """Errors over pixels of counts that were summed over the images; 0 where no pixel counts."""
    return counts.errors / np.maximum(counts.pixels, 1)


def density(counts: Counts) -> Float[np.ndarray, " 4"]:
    """The share of pixels that had an estimate before filling, by measure."""
    everything = counts.pixels[:, PARTS.index("all")]
    return everything[:, 1] / np.maximum(everything[:, 0], 1)
