"""UMT on the tour: clips found by a sentence."""

import json
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from jaxvision.methods.umt import made_clips
from jaxvision.tasks.tour_stop import Shown, Stop
from jaxvision.viz.files import write_mp4
from jaxvision.viz.ranking_page import Found, ranking_page
from jaxvision.viz.tour_page import Number, Picture

CLIPS, SHOWN, BEST = 16, 4, 3
SENTENCES, PAGE = "sentences.txt", "best.html"


def write(config: ConfigDict, folder: Path) -> dict[str, str]:
    """Clips over photographs that were never trained on, and a file with all their sentences;
    the sentence of each clip."""
    made = made_clips.shapes(config, "held_out", CLIPS, margin=made_clips.MARGIN)
    truth = {}
    for number in range(CLIPS):
        name = f"clip_{number:02}"
        write_mp4(folder / f"{name}.mp4", made.clip(number), 2)
        truth[name] = made.scene(number).caption
    (folder.parent / SENTENCES).write_text("\n".join(truth.values()) + "\n")
    return truth


def ranking(table: dict, sentence: str) -> Sequence[tuple[str, dict]]:
    """Names of the clips by their similarity with a sentence, best first, and all scores."""
    rows = []
    for path, row in table.items():
        (scores,) = (text for text in row["texts"] if text["text"] == sentence)
        rows.append((Path(path).stem, scores))
    return sorted(rows, key=lambda row: -row[1]["similarity"])


def show(answers: Path, truth: dict[str, str]) -> Shown:
    table = json.loads((answers / "predictions.json").read_text())
    pictures = {Path(path).stem: answers / row["picture"] for path, row in table.items()}
    first = among = 0
    queries = {}
    for number, (clip, sentence) in enumerate(truth.items()):
        order = ranking(table, sentence)
        names = [name for name, _ in order]
        first += names[0] == clip
        among += clip in names[:BEST]
        if number < SHOWN:
            queries[sentence] = [
                Found(
                    f"{truth[name]}{' (the right one)' if name == clip else ''}",
                    pictures[name],
                    {"similarity": scores["similarity"]},
                )
                for name, scores in order[:BEST]
            ]
    (answers / PAGE).write_text(ranking_page("Clips by sentence", queries), encoding="utf-8")
    count = len(truth)
    numbers = [
        Number(f"{first} of {count}", f"sentences find their clip first (chance: 1 of {count})"),
        Number(f"{among} of {count}", f"find it among the first {BEST}"),
    ]
    caption = f"What {SHOWN} sentences find, best first, with each clip's own sentence"
    return Shown([Picture(answers / PAGE, caption, wide=True)], numbers)


STOPS = (
    Stop(
        name="umt",
        weights="umt/demo",
        title="Clips found by a sentence",
        what="A video transformer learns from a teacher of pictures and words, at the tokens that "
        "are worth looking at; then clips and sentences are brought into one space.",
        given="made-up shapes that move over real photographs (scikit-image and scikit-learn), "
        "which were never trained on; sentences say what moves where. Colour and size are what so "
        "small a network tells; shapes and motions it hardly does.",
        write=write,
        show=show,
        settings=lambda folder: [f"data.query={folder / SENTENCES}"],
    ),
)
