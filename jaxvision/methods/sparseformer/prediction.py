"""`predict`: the likeliest classes of pictures, and where the tokens looked, stage by stage."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from jaxvision.data.labelled_pictures import read_picture
from jaxvision.methods.sparseformer import inputs
from jaxvision.training.run_record import write_json
from jaxvision.viz.files import write_png

if TYPE_CHECKING:  # the task calls this module
    from jaxvision.methods.sparseformer.task import ClassificationTask

SHOWN = 5
# Side of one drawn stage, in pixels.
PANEL = 320
Look = tuple[Float[np.ndarray, "n 4"], Float[np.ndarray, "n p 2"]]


def predict_files(
    task: "ClassificationTask", variables: Mapping, paths: list[Path], outdir: Path
) -> list[Path]:
    """predictions.json and predictions.csv (the five likeliest classes), and <name>_looks.png."""
    data = task.config.data

    @jax.jit
    def answer(variables: Mapping, batch: Mapping) -> Any:
        rng = jax.random.key(task.config.seed)
        return task.predict(variables, task.prepare(batch, rng, False), rng)

    written: list[Path] = []
    results: dict[str, list[dict[str, Any]]] = {}
    for path in paths:
        pixels = inputs.evaluation_picture(
            read_picture(path), data.size, data.short_side, data.resampling
        )
        outputs = jax.device_get(answer(variables, {"picture": pixels[None]}))
        results[str(path)] = likeliest(outputs["probabilities"][0], task.class_names)
        taken = {file.name for file in written}
        name = f"{path.stem}_looks.png"
        written.append(outdir / (name if name not in taken else f"{len(written)}_{name}"))
        write_png(written[-1], strip_of_looks(pixels, looks_of(outputs, 0)))
    write_json(outdir / "predictions.json", results)
    with (outdir / "predictions.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["file", "rank", "class", "probability"])
        for file, answers in results.items():
            for rank, found in enumerate(answers, 1):
                table.writerow([file, rank, found["class"], f"{found['probability']:.6f}"])
    return [*written, outdir / "predictions.json", outdir / "predictions.csv"]


def likeliest(scores: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """The classes of the largest probabilities, largest first."""
    best = np.argsort(-scores, kind="stable")[:SHOWN]
    return [{"class": names[k], "probability": float(scores[k])} for k in best]


def looks_of(outputs: Mapping[str, Any], row: int) -> list[Look]:
    """(boxes, points) of every sampling of one picture, as fractions."""
    pairs = zip(outputs["boxes"], outputs["points"], strict=True)
    return [(np.asarray(boxes[row]), np.asarray(points[row])) for boxes, points in pairs]


def strip_of_looks(
    picture: UInt8[np.ndarray, "h w 3"], looks: Sequence[Look]
) -> UInt8[np.ndarray, "panel panels 3"]:
    """One panel for every sampling: the picture with tokens' boxes and points (figure 4)."""
    panels = [_panel(picture, boxes, points) for boxes, points in looks]
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
    for number, (box, seen) in enumerate(zip(boxes * PANEL, points * PANEL, strict=True)):
        colour = colours.getpixel((number, 0))
        low, high = np.minimum(box[:2], box[2:]), np.maximum(box[:2], box[2:])
        draw.rectangle((*low.tolist(), *high.tolist()), outline=colour)
        for x, y in seen.tolist():
            draw.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill=colour)
    return np.asarray(panel)
