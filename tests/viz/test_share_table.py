"""A table of shares as a picture."""

import numpy as np

from jaxvision.viz.share_table import CELL, FULL, MOST_PIXELS, NONE, draw_shares


def test_the_largest_share_of_a_row_is_the_brightest():
    picture = draw_shares(np.array([[0.0, 0.2], [0.0, 0.0]]))
    assert picture.shape == (2 * CELL, 2 * CELL, 3)
    np.testing.assert_array_equal(picture[0, -1], FULL)
    np.testing.assert_array_equal(picture[0, 0], NONE)
    np.testing.assert_array_equal(picture[-1, -1], NONE)
    assert max(draw_shares(np.ones((1000, 3))).shape) <= MOST_PIXELS
