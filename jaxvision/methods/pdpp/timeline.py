"""Plans as people read them: a timeline picture with probabilities, and JSON."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from ml_collections import ConfigDict
from PIL import Image, ImageDraw, ImageFont

from jaxvision.methods.pdpp import inputs
from jaxvision.tasks.each_input import each_input
from jaxvision.training.run_record import write_json
from jaxvision.viz.files import write_png

SHOWN_ACTIONS, SHOWN_PLANS, SHOWN_TASKS = 5, 5, 3
QUESTIONS_AT_ONCE = 8
COLUMN, ROW, MARGIN, HEADER = 200, 26, 12, 58
INK, FAINT, BAR, CHOSEN, RIGHT = "#1d2733", "#7a8794", "#c9d6e4", "#5b8def", "#2c9c69"


def answer(outputs: Mapping[str, np.ndarray], labels: inputs.Labels) -> dict[str, Any]:
    """One window's `PlannerTask.predict` in words.

    The plan is the one sampled most often (of equals, the one sampled first); a step's
    probabilities are the shares of all samples.
    """
    samples = [tuple(int(a) for a in plan) for plan in outputs["samples"]]
    counted = Counter(samples).most_common(SHOWN_PLANS)

    def plan(ids: Sequence[int], count: int) -> dict[str, Any]:
        names = [labels.actions[action] for action in ids]
        return {"actions": names, "ids": list(ids), "probability": count / len(samples)}

    def best(values: np.ndarray, names: Sequence[str], count: int) -> list[dict[str, Any]]:
        order = np.argsort(-values, kind="stable")[:count]
        return [
            {"name": names[i], "id": int(i), "probability": round(float(values[i]), 6)}
            for i in order
            if values[i] > 0
        ]

    return {
        "tasks": best(np.asarray(outputs["task_probabilities"]), labels.tasks, SHOWN_TASKS),
        "plan": plan(*counted[0]),
        "steps": [best(row, labels.actions, SHOWN_ACTIONS) for row in outputs["probabilities"]],
        "plans": [plan(*one) for one in counted],
        "samples": len(samples),
    }


def picture(
    answered: Mapping[str, Any], truth: Int[np.ndarray, " t"] | None = None, title: str = ""
) -> UInt8[np.ndarray, "height width 3"]:
    """A column per planned step: its likeliest actions with bars, the plan's own in colour.

    truth: action ids; a right step is marked.
    """
    steps = answered["steps"]
    width = MARGIN + len(steps) * COLUMN
    height = HEADER + ROW * (max(map(len, steps)) + 1) + MARGIN
    image = Image.new("RGB", (width, height), "white")
    draw, font, small = (
        ImageDraw.Draw(image),
        ImageFont.load_default(15),
        ImageFont.load_default(12),
    )
    task = answered["tasks"][0]
    heading = f"{title}  {task['name']} ({task['probability']:.0%})".strip()
    draw.text((MARGIN, 8), clipped(draw, heading, font, width - 2 * MARGIN), INK, font)
    whole = f"whole plan {answered['plan']['probability']:.0%} of {answered['samples']} samples"
    draw.text((MARGIN, 32), clipped(draw, whole, small, width - 2 * MARGIN), FAINT, small)
    for number, step in enumerate(steps):
        left = MARGIN + number * COLUMN
        chosen = answered["plan"]["ids"][number]
        right = truth is not None and chosen == truth[number]
        mark = "" if truth is None else ("  right" if right else "  wrong")
        draw.text((left, HEADER), f"step {number + 1}{mark}", RIGHT if right else FAINT, small)
        for row, action in enumerate(step):
            top, share = HEADER + ROW * (row + 1), action["probability"]
            extent = (COLUMN - MARGIN) * share
            colour = CHOSEN if action["id"] == chosen else BAR
            draw.rectangle((left, top, left + extent, top + ROW - 5), colour)
            text = clipped(draw, f"{share:.0%} {action['name']}", small, COLUMN - 2 * MARGIN)
            draw.text((left + 4, top + 3), text, INK, small)
    return np.asarray(image)


def clipped(draw: ImageDraw.ImageDraw, text: str, font: Any, width: float) -> str:
    """`text`, cut with an ellipsis where it is wider than `width` pixels."""
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(text + "…", font) > width:
        text = text[:-1]
    return text + "…"


def predict_files(
    config: ConfigDict,
    predict: Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]],
    labels: inputs.Labels,
    paths: Sequence[Path],
    outdir: Path,
) -> list[Path]:
    """Plans for every question of every feature file (`inputs.read_questions`).

    predict: a batch of windows -> `PlannerTask.predict`'s outputs.  Writes `<name>.json` with all
    answers of a file and `<name>_<number>.png` for each.
    """

    def answer_one(path: Path, name: str) -> list[Path]:
        written: list[Path] = []
        questions = inputs.read_questions(path, config.data.channels)
        answers = []
        for first in range(0, len(questions), QUESTIONS_AT_ONCE):
            asked = questions[first : first + QUESTIONS_AT_ONCE]
            # One compiled shape: the last batch is filled up with its last question.
            rows = asked + [asked[-1]] * (QUESTIONS_AT_ONCE - len(asked))
            batch = {
                "start": np.stack([q.start for q in rows]),
                "goal": np.stack([q.goal for q in rows]),
                "task": np.zeros(len(rows), np.int32),
                "index": np.arange(first, first + len(rows), dtype=np.int32),
            }
            outputs = predict(batch)
            for row, question in enumerate(asked):
                window = answer({key: value[row] for key, value in outputs.items()}, labels)
                answers.append({"seconds": question.seconds, **window})
        for number, window in enumerate(answers):
            seconds = window["seconds"]
            span = f" {seconds[0]:g}-{seconds[1]:g} s" if seconds else ""
            written.append(outdir / f"{name}_{number}.png")
            write_png(written[-1], picture(window, title=f"{path.stem}{span}"))
        written.append(outdir / f"{name}.json")
        table = {"file": str(path), "horizon": config.data.horizon, "windows": answers}
        write_json(written[-1], table)
        return written

    return each_input(paths, outdir, answer_one)
