"""What several methods answered, as one HTML file that asks for nothing beside it."""

import base64
import html
import importlib.resources
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jaxvision.data.picture_files import read_picture
from jaxvision.data.video import Video

SMALL = 320  # narrower pictures are enlarged, in whole pixels
LOSSLESS = 400_000  # pixels of a picture that is kept as it is
QUALITY = 82


class Picture(NamedTuple):
    """file: .png, .mp4, or an .html page to turn a scene in.  caption: what is seen.  wide: over
    the whole width.  factor: by which pixels of a film are repeated."""

    file: Path
    caption: str
    wide: bool = False
    factor: int = 1


class Number(NamedTuple):
    """value: with its unit.  meaning: of what, beside what."""

    value: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One thing a method did. title, what, given: what it is, and what it was given.  commands:
    that made it.  weights: which, in a sentence.  failed: why there are no pictures."""

    title: str
    what: str
    given: str
    commands: Sequence[str]
    weights: str
    pictures: Sequence[Picture] = ()
    numbers: Sequence[Number] = ()
    failed: str = ""


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """A method. name: also its place in the page.  paper: where it is from."""

    name: str
    title: str
    paper: str
    panels: Sequence[Panel] = field(default_factory=list)


def tour_page(title: str, lead: Sequence[str], chapters: Sequence[Chapter], foot: str) -> str:
    """`tour_page.html`, filled in. lead: paragraphs above the chapters.

    Texts are data: none of them becomes markup.
    """
    links = " ".join(
        f'<a href="#{html.escape(c.name)}">{html.escape(c.title)}</a>' for c in chapters
    )
    words = {
        "__TITLE__": html.escape(title),
        "__LEAD__": "\n".join(f"<p>{html.escape(text)}</p>" for text in lead),
        "__LINKS__": links,
        "__SECTIONS__": "\n".join(map(_chapter, chapters)),
        "__FOOT__": html.escape(foot),
    }
    page = importlib.resources.files("jaxvision.viz").joinpath("tour_page.html").read_text("utf-8")
    return re.sub("|".join(words), lambda word: words[word[0]], page)


def _chapter(chapter: Chapter) -> str:
    name, title = html.escape(chapter.name), html.escape(chapter.title)
    panels = "\n".join(map(_panel, chapter.panels))
    head = f'<h2>{title}</h2>\n<p class="paper">{html.escape(chapter.paper)}</p>'
    return f'<section id="{name}">\n{head}\n{panels}\n</section>'


def _panel(panel: Panel) -> str:
    parts = [
        f"<h3>{html.escape(panel.title)}</h3>",
        f"<p>{html.escape(panel.what)}</p>",
        f'<p class="given">Given: {html.escape(panel.given)}</p>',
    ]
    if panel.failed:
        parts.append(f'<p class="failed">No answer: {html.escape(panel.failed)}</p>')
    if panel.pictures:
        figures = "\n".join(map(_figure, panel.pictures))
        parts.append(f'<div class="pictures">\n{figures}\n</div>')
    if panel.numbers:
        parts.append(_numbers(panel.numbers))
    commands = html.escape("\n".join(panel.commands))
    parts += [f"<pre>{commands}</pre>", f'<p class="weights">{html.escape(panel.weights)}</p>']
    return "\n".join(parts)


def _numbers(numbers: Iterable[Number]) -> str:
    rows = "".join(
        f"<dt>{html.escape(n.value)}</dt><dd>{html.escape(n.meaning)}</dd>" for n in numbers
    )
    return f"<dl>{rows}</dl>"


def _figure(picture: Picture) -> str:
    caption = html.escape(picture.caption)
    wide = ' class="wide"' if picture.wide else ""
    if picture.file.suffix == ".html":
        page = html.escape(picture.file.read_text("utf-8"))
        shown = f'<iframe title="{caption}" loading="lazy" sandbox="allow-scripts" srcdoc="{page}">'
        return f"<figure{wide}>{shown}</iframe><figcaption>{caption}</figcaption></figure>"
    frames, milliseconds = _frames(picture)
    data = base64.b64encode(_webp(frames, milliseconds)).decode()
    height, width = frames[0].shape[:2]
    small = ' class="small"' if width < SMALL else ""
    size = f'width="{width}" height="{height}"'
    shown = f'<img{small} {size} alt="{caption}" decoding="async" loading="lazy"'
    return (
        f'<figure{wide}>{shown} src="data:image/webp;base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _frames(picture: Picture) -> tuple[list[UInt8[np.ndarray, "h w 3"]], float]:
    """Of a picture or a film, and how long each is shown (ms)."""
    if picture.file.suffix != ".mp4":
        return [np.asarray(read_picture(picture.file))], 0.0
    with Video(picture.file) as film:
        frames, rate = film.frames(np.arange(len(film))), float(film.rate)
    enlarged = frames.repeat(picture.factor, axis=1).repeat(picture.factor, axis=2)
    return list(enlarged), 1000 / rate


def _webp(frames: Sequence[UInt8[np.ndarray, "h w 3"]], milliseconds: float) -> bytes:
    """One picture, or several that follow each other without end."""
    images = [Image.fromarray(frame) for frame in frames]
    stream, still = io.BytesIO(), len(images) == 1
    lossless = still and frames[0].shape[0] * frames[0].shape[1] <= LOSSLESS
    more = {} if still else {"save_all": True, "append_images": images[1:], "loop": 0}
    if not still:
        more["duration"] = max(round(milliseconds), 20)
    images[0].save(stream, format="WEBP", lossless=lossless, quality=QUALITY, method=4, **more)
    return stream.getvalue()
