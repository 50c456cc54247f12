"""Where tokens sampled a picture, step by step, drawn (figure 4)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

# Side of one drawn sampling, in pixels.
PANEL = 320
BoxesAndPoints = tuple[Float[np.ndarray, "n 4"], Float[np.ndarray, "n p 2"]]


def samplings_of(outputs: Mapping[str, Any], row: int) -> list[BoxesAndPoints]:
    """(boxes, points) of every sampling of one picture, as fractions."""
    pairs = zip(outputs["boxes"], outputs["points"], strict=True)
    return [(np.asarray(boxes[row]), np.asarray(points[row])) for boxes, points in pairs]


def sampling_strip(
    picture: UInt8[np.ndarray, "h w 3"], samplings: Sequence[BoxesAndPoints]
) -> UInt8[np.ndarray, "panel panels 3"]:
    """One panel for every sampling: the picture with tokens' boxes and points."""
    panels = [_panel(picture, boxes, points) for boxes, points in samplings]
    return np.concatenate(panels, axis=1)


def _panel(
    picture: UInt8[np.ndarray, "h w 3"],
    boxes: Float[np.ndarray, "n 4"],
    points: Float[np.ndarray, "n p 2"],
) -> UInt8[np.ndarray, "panel panel 3"]:
    panel = Image.fromarray(picture).resize((PANEL, PANEL), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(panel)
    hues = np.linspace(0, 255, len(boxes), endpoint=False).astype(np.uint8)
    colours = Image.fromarray(
        np.stack([hues, np.full_like(hues, 200), np.full_like(hues, 255)], -1)[None], "HSV"
    ).convert("RGB")
    for number, (box, inside) in enumerate(zip(boxes * PANEL, points * PANEL, strict=True)):
        colour = colours.getpixel((number, 0))
        low, high = np.minimum(box[:2], box[2:]), np.maximum(box[:2], box[2:])
        draw.rectangle((*low.tolist(), *high.tolist()), outline=colour)
        for x, y in inside.tolist():
            draw.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill=colour)
    return np.asarray(panel)
