"""A chip's memory as bars, one a plan, against what there is."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from jaxvision.planning.plan import Plan

WIDTH, BAR, GAP, MARGIN, BARS = 960, 34, 30, 16, 640
PAPER, INK, LIMIT = (255, 255, 255), (30, 30, 30), (200, 30, 30)
COLOURS = {
    "parameters": (38, 89, 140),
    "frozen parameters": (96, 139, 179),
    "optimizer": (230, 145, 56),
    "average": (241, 194, 125),
    "other state": (120, 120, 120),
    "batch": (106, 168, 79),
    "padding": (190, 190, 190),
    "activations and gradients": (153, 102, 172),
    "program": (80, 80, 80),
}


def memory_picture(plans: Sequence[Plan]) -> UInt8[np.ndarray, "h w 3"]:
    """Bytes of a chip by category; the red line is its memory."""
    names = [n for n in COLOURS if any(n in plan.memory for plan in plans)]
    legend = MARGIN + 18 * (-(-len(names) // 3))
    height = legend + MARGIN + len(plans) * (BAR + GAP) + MARGIN
    picture = Image.new("RGB", (WIDTH, height), PAPER)
    draw = ImageDraw.Draw(picture)
    for number, name in enumerate(names):
        x, y = MARGIN + 310 * (number % 3), MARGIN + 18 * (number // 3)
        draw.rectangle((x, y, x + 11, y + 11), COLOURS[name])
        draw.text((x + 18, y), name, INK)
    for number, plan in enumerate(plans):
        top = legend + MARGIN + number * (BAR + GAP) + 14
        _bar(draw, plan, top)
    return np.asarray(picture)


def _bar(draw: ImageDraw.ImageDraw, plan: Plan, top: int) -> None:
    """Every bar has its own scale: its longer of peak and memory fills the width."""
    scale = BARS / max(plan.peak, plan.capacity)
    mesh = " ".join(f"{name} {size}" for name, size in plan.mesh.items() if size > 1)
    draw.text((MARGIN, top - 14), f"{plan.topology}  {mesh}  {plan.bucket}", INK)
    at = float(MARGIN)
    for name, size in plan.memory.items():
        draw.rectangle((at, top, at + size * scale, top + BAR), COLOURS[name])
        at += size * scale
    limit = MARGIN + plan.capacity * scale
    draw.line((limit, top - 4, limit, top + BAR + 4), LIMIT, 3)
    words = f"{plan.peak / 2**30:.2f} of {plan.capacity / 2**30:.2f} GiB"
    if not plan.fits:
        words += ": does not fit"
    draw.text((MARGIN + BARS + 14, top + 11), words, INK if plan.fits else LIMIT)
