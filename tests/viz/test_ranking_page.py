"""A page of what queries found: self-contained, best first, names are data."""

import re

import numpy as np

from jaxvision.viz.files import write_png
from jaxvision.viz.ranking_page import Found, ranking_page


def test_a_page_holds_its_pictures_and_names_stay_text(tmp_path):
    for number in range(2):
        write_png(tmp_path / f"{number}.png", np.full((4, 6, 3), 90 * number, np.uint8))
    found = [Found("<b>.mp4", tmp_path / "1.png", {"match": 0.75})]
    found.append(Found("second's.mp4", tmp_path / "0.png", {"match": 0.5}))
    page = ranking_page("Videos", {"a <script> & more": found})
    assert page.count("data:image/png;base64,") == 2
    assert not re.search(r"<(b|script)>", page)
    assert page.index("&lt;b&gt;.mp4") < page.index("second&#x27;s.mp4")
    assert "a &lt;script&gt; &amp; more" in page
    assert "match 0.7500" in page
    assert "http" not in page
