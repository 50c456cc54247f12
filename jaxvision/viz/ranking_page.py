"""Things found by a query, best first, as one HTML file without anything beside it."""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

STYLE = """
body { font: 15px/1.4 sans-serif; margin: 2em auto; max-width: 68em; background: #fff; color: #222 }
h2 { border-top: 1px solid #ccc; padding-top: 1em }
li { margin: 0 0 1em }
img { display: block; max-width: 100%; height: auto; background: #000 }
.scores { color: #666; font-variant-numeric: tabular-nums }
"""


class Found(NamedTuple):
    """name: of what was found.  picture: a PNG file of it.  scores: shown beside it."""

    name: str
    picture: Path
    scores: Mapping[str, float]


def ranking_page(title: str, queries: Mapping[str, Sequence[Found]]) -> str:
    """{query: what was found, best first} as a page; pictures are in it.

    Names and queries are data: none of them becomes markup.
    """
    head = f"<meta charset='utf-8'><title>{html.escape(title)}</title><style>{STYLE}</style>"
    sections = (_section(query, found) for query, found in queries.items())
    body = "\n".join((f"<h1>{html.escape(title)}</h1>", *sections))
    return f"<!doctype html>\n<html lang='en'><head>{head}</head>\n<body>{body}</body></html>\n"


def _section(query: str, found: Sequence[Found]) -> str:
    rows = "\n".join(map(_row, found))
    return f"<h2>{html.escape(query)}</h2>\n<ol>\n{rows}\n</ol>"


def _row(found: Found) -> str:
    name = html.escape(found.name)
    scores = ", ".join(f"{html.escape(word)} {value:.4f}" for word, value in found.scores.items())
    data = base64.b64encode(found.picture.read_bytes()).decode()
    picture = f"<img alt='{name}' src='data:image/png;base64,{data}'>"
    return f"<li>{name} <span class='scores'>{scores}</span>{picture}</li>"
