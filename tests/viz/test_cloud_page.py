"""The page of a point cloud: what it is filled with is data, whatever it is called."""

import base64
import json
from html.parser import HTMLParser

import numpy as np
import pytest

from jaxvision.viz.boxes import BoxDrawing
from jaxvision.viz.cloud_page import cloud_page, coloured_page


class Page(HTMLParser):
    """Tags, the text of each script, and comments, as a browser's parser sees them."""

    def __init__(self, page: str):
        super().__init__()
        self.tags = [""]
        self.scripts: list[str] = []
        self.titles: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        if data.strip() and self.tags[-1] == "script":
            self.scripts.append(data)
        elif data.strip() and self.tags[-1] == "title":
            self.titles.append(data)


def page_of(title: str, caption: str) -> str:
    boxes = np.array([[1, 2, 0, 4, 2, 1.5, 0, 0, 0.3]])
    drawing = BoxDrawing(boxes, np.array([[255, 0, 0]]), [caption], np.zeros((0, 9)))
    return cloud_page(title, np.ones((5, 5), np.float32), drawing, np.array([0.5]))


@pytest.mark.parametrize(
    "name",
    ["__DATA__.bin", "__LEAST__", "<!--<script>", "</script><img src=x>", 'a"&b', "\\u003c", "\\1"],
)
def test_names_are_only_data(name):
    usual = Page(page_of("a.bin", "car"))
    found = Page(page_of(name, name))
    assert found.tags == usual.tags
    assert found.titles[0] == name
    (box,) = json.loads(found.scripts[0])["boxes"]
    assert box["caption"] == name
    # Inside a script, these begin what a browser reads in another way.
    assert "<" not in found.scripts[0]
    assert found.scripts[1:] == usual.scripts[1:]


def test_a_page_may_be_in_colours_of_its_own():
    shades = np.arange(12, dtype=np.uint8).reshape(4, 3)
    page = coloured_page("street", np.ones((4, 4), np.float32), shades, "road 75%, <car> 25%")
    data = json.loads(Page(page).scripts[0])
    assert np.frombuffer(base64.b64decode(data["shades"]), np.uint8).tolist() == list(range(12))
    assert data["boxes"] == []
    assert data["view"] is None
    assert data["motion"]["count"] == 0
    assert data["motion"]["summary"] == "road 75%, <car> 25%"


def test_what_is_drawn_before_a_page_is_shown_is_kept():
    """As a frame that a page loads late, without a size at first: Chromium showed it black."""
    page = page_of("a.bin", "car")
    assert '"webgl", {preserveDrawingBuffer: true}' in page
    assert "new ResizeObserver(draw)" in page
