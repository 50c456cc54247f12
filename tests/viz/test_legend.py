"""Legends, titles, and the page of a scan."""

import json
import re

import numpy as np
import pytest

from jaxvision.viz.boxes import BoxDrawing
from jaxvision.viz.cloud_page import cloud_page
from jaxvision.viz.legend import side_by_side, with_legend

COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)


def test_every_class_stands_in_the_legend():
    picture = np.full((40, 200, 3), 7, np.uint8)
    names = ["road", "a class with a rather long name", "tree"]
    drawn = with_legend(picture, names, COLOURS)
    np.testing.assert_array_equal(drawn[:40], picture)
    for colour in COLOURS:
        assert (drawn[40:] == colour).all(axis=-1).sum() > 100
    # More names than fit into a row take another.
    assert len(drawn) > len(with_legend(picture, names[:1], COLOURS[:1]))
    assert drawn.shape[1] == 200


def test_halves_have_titles():
    dark = np.zeros((30, 80, 3), np.uint8)
    both = side_by_side([("predicted", dark), ("truth", dark + 9)])
    height = both.shape[0] - 30
    np.testing.assert_array_equal(both[height:, 80:], dark + 9)
    left, right = both[:height, :80], both[:height, 80:]
    assert left.max() > 200
    assert (left != right).any()


def test_the_page_of_a_scan_says_when_every_box_is_below_the_slider():
    points = np.random.default_rng(0).normal(0, 5, (20, 3)).astype(np.float32)
    boxes = np.array([[0, 0, 0, 2, 4, 1.5, 0, 0, 0]], np.float32)
    drawing = BoxDrawing(boxes, COLOURS[:1], ["car 0.12"], boxes[:0])
    page = cloud_page("scan.bin", points, drawing, np.array([0.12], np.float32), 0.3)
    assert 'type="range" min="0" max="1" step="0.01" value="0.3"' in page
    assert "All boxes score below this" in page
    data = json.loads(re.search(r'application/json">(.*?)</script>', page, re.S).group(1))
    assert data["boxes"][0]["score"] == pytest.approx(0.12)
