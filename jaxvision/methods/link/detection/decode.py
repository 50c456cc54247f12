"""From the head's maps to boxes: decoding, merging of flipped views, suppression."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxvision.methods.link.detection.center_head import Map, Predictions
from jaxvision.ops.rotated_boxes import circle_nms, rectangles, rotated_nms


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How maps become boxes.

    origin: x, y of the range's minimum (m).  cell: size of a map's cell in x, y (m).
    limits: centres outside are dropped (x, y, z minima, then maxima).
    candidates: best cells of a task that enter the suppression.  kept: most boxes that leave it.
    overlap: highest intersection over union of two kept boxes of a task.
    squared_radii: instead of overlaps, the squared distance of each task within which a better
        centre suppresses another; every cell is a candidate then.
    """

    origin: tuple[float, float]
    cell: tuple[float, float]
    limits: tuple[float, ...]
    threshold: float = 0.1
    candidates: int = 1000
    kept: int = 83
    overlap: float = 0.2
    squared_radii: tuple[float, ...] = ()


class Boxes(NamedTuple):
    """box: x, y, z, w, l, h, [vx, vy,] yaw.  valid: which rows are boxes; the others are zeros."""

    box: Float[Array, "b n d"]
    score: Float[Array, "b n"]
    label: Int[Array, "b n"]
    valid: Bool[Array, "b n"]


def activate(maps: dict[str, Map]) -> dict[str, Map]:
    """Probabilities and sizes (m) of one task's raw maps."""
    found = dict(maps)
    return found | {"hm": jax.nn.sigmoid(maps["hm"]), "dim": jnp.exp(maps["dim"])}


def merge_flips(maps: dict[str, Map]) -> dict[str, Map]:
    """Mean of four views of each scan: as it is, y negated, x negated, both negated.

    maps: activated, [4 * b, h, w, c], views of a scan beside each other. Maps are flipped back, and
    with them the offset inside a cell, the yaw's sine or cosine, and the velocity.
    """

    def views(name: str) -> list[Map]:
        value = maps[name]
        value = value.reshape(-1, 4, *value.shape[1:])
        rows, columns = 1, 2
        flipped = [(), (rows,), (columns,), (rows, columns)]
        return [jnp.flip(value[:, n], axes) for n, axes in enumerate(flipped)]

    def mean(found: list[Map]) -> Map:
        return jnp.mean(jnp.stack(found), axis=0)

    merged = {name: mean(views(name)) for name in ("hm", "height", "dim")}
    # Two numbers a cell, of x and y; of the yaw its sine and cosine: in the detector's yaw a
    # mirrored y negates the cosine, a mirrored x the sine.
    signs = jnp.asarray([[1, 1], [1, -1], [-1, 1], [-1, -1]], jnp.float32)
    for name in ("rot", "vel"):
        if name in maps:
            merged[name] = mean([v * s for v, s in zip(views(name), signs, strict=True)])
    # An offset counts from the cell's lower corner, so that u becomes 1 - u where its axis flips.
    merged["reg"] = mean([v * s + (s < 0) for v, s in zip(views("reg"), signs, strict=True)])
    return merged


def cell_boxes(maps: dict[str, Map], decoding: Decoding) -> Float[Array, "b n d"]:
    """The box of every cell, row by row."""
    batch, height, width, _ = maps["hm"].shape
    row, column = jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij")
    place = jnp.stack([column, row], axis=-1).astype(jnp.float32) + maps["reg"]
    place = place * jnp.asarray(decoding.cell) + jnp.asarray(decoding.origin)
    yaw = jnp.arctan2(maps["rot"][..., :1], maps["rot"][..., 1:2])
    parts = [place, maps["height"], maps["dim"]]
    parts += [maps["vel"]] if "vel" in maps else []
    return jnp.concatenate([*parts, yaw], axis=-1).reshape(batch, height * width, -1)


def decode(predictions: Predictions, decoding: Decoding, double_flip: bool = False) -> Boxes:
    """Boxes of every scan, tasks one after the other, each in descending score.

    double_flip: the batch holds four views of each scan (`merge_flips`).
    """
    found, first_label = [], 0
    for task, raw in enumerate(predictions):
        maps = activate(raw)
        maps = merge_flips(maps) if double_flip else maps
        squared = decoding.squared_radii[task] if decoding.squared_radii else None
        found.append(_decode_task(maps, decoding, squared, first_label))
        first_label += maps["hm"].shape[-1]
    return Boxes(*(jnp.concatenate(parts, axis=1) for parts in zip(*found, strict=True)))


def _decode_task(
    maps: dict[str, Map], decoding: Decoding, squared: float | None, first_label: int
) -> Boxes:
    boxes = cell_boxes(maps, decoding)
    heat = maps["hm"].reshape(*boxes.shape[:2], -1)
    low, high = jnp.asarray(decoding.limits[:3]), jnp.asarray(decoding.limits[3:])
    near = jnp.all((boxes[..., :3] >= low) & (boxes[..., :3] <= high), axis=-1)
    scores = jnp.max(heat, axis=-1)
    usable = near & (scores > decoding.threshold)
    labels = jnp.argmax(heat, axis=-1).astype(jnp.int32) + first_label
    count = boxes.shape[1] if squared is not None else min(decoding.candidates, boxes.shape[1])

    def one(boxes: Array, scores: Array, labels: Array, usable: Array) -> Boxes:
        best, rows = jax.lax.top_k(jnp.where(usable, scores, -1.0), count)
        chosen, candidates = boxes[rows], best > 0
        if squared is not None:
            kept, number = circle_nms(chosen[:, :2], candidates, squared, decoding.kept)
        else:
            kept, number = rotated_nms(
                rectangles(chosen), candidates, decoding.overlap, decoding.kept
            )
        valid = jnp.arange(decoding.kept) < number
        rows = rows[jnp.where(valid, kept, 0)]
        return Boxes(
            jnp.where(valid[:, None], boxes[rows], 0),
            jnp.where(valid, scores[rows], 0),
            jnp.where(valid, labels[rows], 0),
            valid,
        )

    return jax.vmap(one)(boxes, scores, labels, usable)


def rotate_boxes(boxes: Float[Array, "*n d"], angle: float) -> Float[Array, "*n d"]:
    """Boxes of a scan whose points were turned by `angle`, brought back (or forth by -angle).

    The published rotation: rows x, y times [[c, -s], [s, c]] of the angle -`angle`; the velocity
    likewise; yaw - `angle`.
    """
    c, s = jnp.cos(-angle), jnp.sin(-angle)

    def turned(x: Array, y: Array) -> list[Array]:
        return [x * c + y * s, y * c - x * s]

    parts = turned(boxes[..., 0], boxes[..., 1]) + [boxes[..., n] for n in (2, 3, 4, 5)]
    if boxes.shape[-1] == 9:
        parts += turned(boxes[..., 6], boxes[..., 7])
    return jnp.stack([*parts, boxes[..., -1] - angle], axis=-1)
