"""A point cloud with its boxes or its motion as one HTML file, to look around in."""

import base64
import html
import importlib.resources
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from jaxvision.viz.boxes import EDGES, BoxDrawing, arrows, corners, shade

MAX_POINTS = 200_000
VIEWED = 2.0  # radii away, as wide as the page's camera sees


@dataclass(frozen=True)
class Motion:
    """Lines between two places of points. shades: of every point of the page.  ends: where lines
    begin and end.  colours: of the lines.  summary: a line for the panel.  framed: whether the
    first view is of the points; else it is of what a car's LiDAR sees around itself."""

    shades: UInt8[np.ndarray, "n 3"]
    ends: Float[np.ndarray, "k 2 3"]
    colours: UInt8[np.ndarray, "k 3"]
    summary: str
    framed: bool = False

    def entry(self) -> dict[str, Any]:
        """As the page's program reads it: a colour for either end."""
        ends = np.ascontiguousarray(self.ends, "<f4")
        colours = np.repeat(self.colours, 2, axis=0)
        return {
            "positions": base64.b64encode(ends.tobytes()).decode(),
            "colours": base64.b64encode(colours.tobytes()).decode(),
            "count": len(colours),
            "summary": self.summary,
        }


def cloud_page(
    title: str,
    points: Float[np.ndarray, "n c"],
    drawing: BoxDrawing,
    scores: Float[np.ndarray, " k"],
    least: float = 0.3,
    *,
    motion: Motion | None = None,
) -> str:
    """`cloud_page.html`, filled in. Of more than 200,000 points an even part is kept.

    scores: of the boxes.  least: score from which boxes are shown at first.  motion: what is shown
    in place of boxes; its colours are the points'.
    """
    step = -(-len(points) // MAX_POINTS)
    kept = np.ascontiguousarray(points[::step, :3], "<f4")
    shades = np.ascontiguousarray((shade(points) if motion is None else motion.shades)[::step])

    def entries(boxes: np.ndarray, **extra: Sequence[Any]) -> list[dict[str, Any]]:
        found = zip(corners(boxes).round(3), arrows(boxes).round(3), strict=True)
        return [
            {"corners": box.tolist(), "arrow": arrow.tolist()}
            | {name: values[n] for name, values in extra.items()}
            for n, (box, arrow) in enumerate(found)
        ]

    boxes, truth = drawing.boxes, drawing.truth
    listed = entries(
        boxes,
        colour=(drawing.colours / 255).round(3).tolist(),
        truth=[False] * len(boxes),
        caption=drawing.captions,
        score=scores.round(4).tolist(),
    )
    listed += entries(truth, colour=[[1, 1, 1]] * len(truth), truth=[True] * len(truth))
    data = {
        "points": base64.b64encode(kept.tobytes()).decode(),
        "shades": base64.b64encode(shades.tobytes()).decode(),
        "boxes": listed,
        "edges": EDGES,
        "motion": None if motion is None else motion.entry(),
        "view": view_of(kept) if motion is not None and motion.framed else None,
    }
    page = importlib.resources.files("jaxvision.viz").joinpath("cloud_page.html").read_text("utf-8")
    # Names are data: no tag or comment begins in JSON without a "<", and what is filled in is not
    # looked at again.
    words = {
        "__TITLE__": html.escape(title),
        "__LEAST__": str(least),
        "__DATA__": json.dumps(data).replace("<", "\\u003c"),
    }
    return re.sub("|".join(words), lambda word: words[word[0]], page)


def view_of(points: Float[np.ndarray, "n 3"]) -> dict[str, Any]:
    """The middle of a cloud that is not empty, and how far from it nearly all of it is seen."""
    middle = np.median(points, axis=0)
    radius = float(np.percentile(np.linalg.norm(points - middle, axis=1), 95))
    return {"target": middle.round(3).tolist(), "distance": round(max(VIEWED * radius, 1.0), 2)}


def coloured_page(
    title: str, points: Float[np.ndarray, "n c"], shades: UInt8[np.ndarray, "n 3"], summary: str
) -> str:
    """The page of a cloud in colours of its own, without boxes. summary: a line for the panel."""
    nothing = BoxDrawing(np.zeros((0, 7)), np.zeros((0, 3), np.uint8), (), np.zeros((0, 7)))
    ends, colours = np.zeros((0, 2, 3), np.float32), np.zeros((0, 3), np.uint8)
    motion = Motion(shades, ends, colours, summary)
    return cloud_page(title, points, nothing, np.zeros(0), motion=motion)
