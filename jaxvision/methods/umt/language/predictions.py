"""`predict` for videos and words: captions scored, videos ranked by a sentence, questions answered.

Sentences come from `data.query`, one or a .txt file of them, and from a file beside a video, of its
name with .txt (one a line).
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from jaxvision.data.atomic_write import atomic_write
from jaxvision.errors import InputError
from jaxvision.stores.stored_path import path_to
from jaxvision.tasks.each_input import each_input, earlier_table
from jaxvision.text_files import read_lines
from jaxvision.training.run_record import write_json
from jaxvision.viz.files import write_png
from jaxvision.viz.ranking_page import Found, ranking_page
from jaxvision.viz.video import strip

TABLE, PAGE = "predictions.json", "ranking.html"
Clip = UInt8[np.ndarray, "t h w 3"]
# What is said of a video and each of its sentences, in their order.
Answer = Callable[[Clip, Sequence[str]], Sequence[Mapping[str, Any]]]


def asked_sentences(query: str) -> tuple[str, ...]:
    """Of `data.query`. InputError for a file without any."""
    if not query.lower().endswith(".txt"):
        return (query,) if query.strip() else ()
    found = _lines(path_to(query))
    if not found:
        raise InputError(f"{query}: expected sentences, one a line")
    return found


def own_sentences(path: Path) -> tuple[str, ...]:
    """Of the .txt file beside a video, if there is one."""
    beside = path.with_suffix(".txt")
    return _lines(beside) if beside.is_file() else ()


def _lines(path: Path) -> tuple[str, ...]:
    return tuple(line.strip() for line in read_lines(path) if line.strip())


def answer_files(
    paths: Sequence[Path],
    outdir: Path,
    query: str,
    clip: Callable[[Path], Clip],
    answer: Answer,
    *,
    ranked: int | None = None,
) -> list[Path]:
    """For every video <name>.png (its frames) and an entry in predictions.json: what `answer` says
    of its sentences, each with its text.

    ranked: also ranking.html, the videos that each sentence of `query` finds, best first, of which
        so many are ordered by `match` (None: no page).
    InputError for a video that cannot be read or has no sentences; of several, others are answered.
    """
    asked = asked_sentences(query)
    results: dict[str, dict[str, Any]] = earlier_table(outdir / TABLE)

    def answer_one(path: Path, name: str) -> list[Path]:
        results.pop(str(path), None)  # what an earlier file of that name was
        sentences = tuple(dict.fromkeys((*asked, *own_sentences(path))))
        if not sentences:
            raise InputError(
                f"{path}: no words: expected data.query, or {path.with_suffix('.txt').name} beside"
            )
        frames = clip(path)
        said = answer(frames, sentences)
        texts = [{"text": text, **found} for text, found in zip(sentences, said, strict=True)]
        picture = outdir / f"{name}.png"
        write_png(picture, strip({name: frames}))
        results[str(path)] = {"picture": picture.name, "texts": texts}
        return [picture]

    def save() -> list[Path]:
        write_json(outdir / TABLE, results)
        if ranked is None or not asked:
            return [outdir / TABLE]
        with atomic_write(outdir / PAGE) as temporary:
            page = ranking_page("Videos by sentence", _ranking(results, asked, outdir, ranked))
            Path(temporary).write_text(page, encoding="utf-8")
        return [outdir / TABLE, outdir / PAGE]

    return each_input(paths, outdir, answer_one, save)


def _ranking(
    results: Mapping[str, Mapping], asked: Sequence[str], outdir: Path, ranked: int
) -> dict[str, list[Found]]:
    """What each sentence finds among the videos that were scored with it."""
    queries: dict[str, list[Found]] = {}
    for sentence in asked:
        found = []
        for path, result in results.items():
            said = next((text for text in result["texts"] if text["text"] == sentence), None)
            if said is not None:
                scores = {name: said[name] for name in ("match", "similarity")}
                found.append(Found(path, outdir / result["picture"], scores))
        similarity = np.array([one.scores["similarity"] for one in found])
        match = np.array([one.scores["match"] for one in found])
        queries[sentence] = [found[n] for n in best_first(similarity, match, ranked)]
    return queries


def best_first(
    similarity: Float[np.ndarray, " v"], match: Float[np.ndarray, " v"], count: int
) -> list[int]:
    """The videos by similarity, the first `count` of them by `match`."""
    order = np.argsort(-similarity, kind="stable")
    head = order[:count]
    return [*head[np.argsort(-match[head], kind="stable")], *order[count:]]
