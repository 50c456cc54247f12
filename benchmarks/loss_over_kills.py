"""A picture of a run that was killed again and again, over the same run left alone."""

import itertools
from dataclasses import dataclass

from PIL import Image, ImageDraw


@dataclass(frozen=True)
class Death:
    """A kill. rows: of the loss log before it.  step: the last logged.  who: shown beside it."""

    rows: int
    step: int
    who: str


def draw(
    expected: dict[int, float], logged: list[tuple[int, float]], deaths: list[Death]
) -> Image.Image:
    """Loss over steps: grey the run left alone, a colour per life of the other, lines for kills."""
    width, height, margin = 1200, 480, 40
    values = [*expected.values(), *(loss for _, loss in logged)]
    low, high = min(values), max(values)
    last = max(expected)

    def at(step: int, loss: float) -> tuple[float, float]:
        x = margin + (width - 2 * margin) * step / last
        return x, height - margin - (height - 2 * margin) * (loss - low) / (high - low or 1)

    image = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(image)
    pen.line([at(*row) for row in sorted(expected.items())], fill=(190, 190, 190), width=9)
    ends = [death.rows for death in deaths]
    colours = itertools.cycle(["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e"])
    for (begin, end), colour in zip(
        itertools.pairwise([0, *ends, len(logged)]), colours, strict=False
    ):
        life = [at(*row) for row in logged[begin:end]]
        if len(life) > 1:
            pen.line(life, fill=colour, width=3)
    for death in deaths:
        x, _ = at(death.step, low)
        pen.line([(x, margin), (x, height - margin)], fill="#888888", width=1)
        pen.text((x + 3, margin), death.who, fill="#444444")
    pen.text((margin, 10), "loss over steps; grey: left alone; colours: lives", fill="black")
    pen.text(
        (margin, height - 25), f"0 to {last} steps, loss {low:.3f} to {high:.3f}", fill="black"
    )
    return image
