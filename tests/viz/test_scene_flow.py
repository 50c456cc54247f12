"""The page of two clouds, and errors as a picture."""

import base64
import json
import re

import numpy as np

from jaxvision.viz.scene_flow import MOST_ARROWS, STEPS, error_picture, motion_page


def test_lines_lead_from_the_first_cloud_to_where_it_goes():
    first, second = np.full((3, 3), [1.0, 2, 7]), np.full((2, 3), [1.0, 2, 8])
    page = motion_page("a & b", first, second, np.full((3, 3), [0.5, 0, 1]))
    assert "<title>a &amp; b</title>" in page
    data = json.loads(re.search(r'application/json">(.*?)</script>', page, re.DOTALL)[1])
    points = np.frombuffer(base64.b64decode(data["points"]), "<f4").reshape(-1, 3)
    assert points.tolist() == [[7, -1, -2]] * 3 + [[8, -1, -2]] * 2
    lines = np.frombuffer(base64.b64decode(data["motion"]["positions"]), "<f4").reshape(-1, 2, 3)
    assert lines.tolist() == [[[7, -1, -2], [8, -1.5, -2]]] * 3
    colours = base64.b64decode(data["motion"]["colours"])
    assert len(colours) == 3 * data["motion"]["count"] == 3 * 6
    assert "mean motion 1.118 m" in data["motion"]["summary"]
    assert data["view"]["target"] == [7, -1, -2]
    many = np.ones((2 * MOST_ARROWS + 1, 3))
    page = motion_page("many", many, many, many)
    data = json.loads(re.search(r'application/json">(.*?)</script>', page, re.DOTALL)[1])
    assert data["motion"]["count"] <= 2 * MOST_ARROWS


def test_the_first_view_is_as_far_away_as_the_points_are_wide():
    cloud = np.random.default_rng(0).normal((0, 0, 20), 1, (1000, 3))
    distances = []
    for scale in (1, 10):
        page = motion_page("a", scale * cloud, scale * cloud, cloud)
        view = json.loads(re.search(r'application/json">(.*?)</script>', page, re.DOTALL)[1])[
            "view"
        ]
        np.testing.assert_allclose(view["target"], [20 * scale, 0, 0], atol=0.2 * scale)
        distances.append(view["distance"])
    assert 3 < distances[0] < 8
    np.testing.assert_allclose(distances[1], 10 * distances[0], rtol=1e-2)


def test_errors_are_red_from_3_pixels_and_5_percent_on():
    truth = np.zeros((1, 5, 2), np.float32)
    truth[0, 3:] = (100, 0)
    flow = truth + np.float32([[0, 0], [2.9, 0], [3.1, 0], [4, 0], [5.1, 0]])
    valid = np.ones((1, 5), bool)
    place = [STEPS.index(tuple(colour)) for colour in error_picture(flow, truth, valid)[0].tolist()]
    half = len(STEPS) // 2
    assert place[0] == 0
    assert [p >= half for p in place] == [False, False, True, False, True]
    assert not error_picture(flow, truth, ~valid).any()
