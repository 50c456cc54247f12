"""The page of a tour: everything in it, nothing fetched, texts are texts."""

import html
import re

import numpy as np

from jaxvision.viz.files import write_mp4, write_png
from jaxvision.viz.tour_page import Chapter, Number, Panel, Picture, tour_page

# What a browser would ask a server for.
FETCHES = re.compile(
    r"""(?:src|href|srcset|poster|action)\s*=\s*(?!["']?(?:#|data:))|url\(|@import"""
)


def panel(**more):
    said = {"title": "A <b> title", "what": "what & why", "given": "two frames"}
    return Panel(**said, commands=["jaxvision predict 'a b'"], weights="of <i>demo</i>", **more)


def page_of(*panels):
    chapter = Chapter(name="emavfi", title="EMA-VFI", paper="arXiv 1", panels=panels)
    return tour_page("Tour", ["A lead."], [chapter], "foot")


def test_it_holds_pictures_films_and_scenes(tmp_path):
    frames = np.zeros((3, 16, 32, 3), np.uint8)
    write_png(tmp_path / "a.png", frames[0] + 7)
    write_mp4(tmp_path / "b.mp4", frames, 8)
    scene = '<canvas></canvas><script>const quote = "\'";</script>'
    (tmp_path / "c.html").write_text(scene)
    names = ("a.png", "b.mp4", "c.html")
    shown = [Picture(tmp_path / name, f"caption of {name}") for name in names]
    shown.append(Picture(tmp_path / "b.mp4", "enlarged", wide=True, factor=3))
    page = page_of(panel(pictures=shown, numbers=[Number("25 dB", "of <u>")]))
    assert page.count("data:image/webp;base64,") == 3
    assert 'width="96" height="48"' in page
    (inside,) = re.findall(r'srcdoc="([^"]*)"', page)
    assert html.unescape(inside) == scene
    assert "25 dB" in page
    assert "of &lt;u&gt;" in page
    assert not FETCHES.search(page.replace(inside, ""))
    for tag in ('<img src="http://a/b.png">', "<script src=a.js>"):
        assert FETCHES.search(tag)


def test_texts_stay_texts_and_a_failure_is_told():
    page = page_of(panel(failed="a.mp4: cut <short>"))
    assert "A &lt;b&gt; title" in page
    assert "of &lt;i&gt;demo&lt;/i&gt;" in page
    assert "No answer: a.mp4: cut &lt;short&gt;" in page
    assert "__" not in page
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page
