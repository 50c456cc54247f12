"""A table of shares as a picture."""

import numpy as np

from jaxvision.viz.share_table import BACKGROUND, CELL, FULL, INK, MOST_PIXELS, NONE, draw_shares

TITLES = ("rows: seconds", "columns: other seconds")


def drawn(shares, rows=None, columns=None):
    names = [[str(n) for n in range(count)] for count in shares.shape]
    return draw_shares(shares, rows or names[0], columns or names[1], TITLES)


def table_in(picture):
    """The cells of a picture of two rows and two columns, which end at its lower right."""
    inside = (picture == NONE).all(axis=-1) | (picture == FULL).all(axis=-1)
    down, right = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return picture[down[0] : down[-1] + 1, right[0] : right[-1] + 1]


def test_the_largest_share_of_a_row_is_the_brightest():
    cells = table_in(drawn(np.array([[0.0, 0.2], [0.0, 0.0]])))
    assert cells.shape == (2 * CELL, 2 * CELL, 3)
    np.testing.assert_array_equal(cells[0, -1], FULL)
    np.testing.assert_array_equal(cells[0, 0], NONE)
    np.testing.assert_array_equal(cells[-1, -1], NONE)


def test_many_are_drawn_small():
    picture = drawn(np.ones((1000, 3)))
    assert picture.shape[0] <= MOST_PIXELS + 100
    narrow = drawn(np.ones((3, 1000)))
    assert narrow.shape[1] <= MOST_PIXELS + 100


def test_rows_and_columns_have_names():
    """Which stand left of the table and above it, one for each that has room."""
    shares = np.zeros((2, 3))
    assert (drawn(shares, rows=["1.0", "2.0"]) != drawn(shares, rows=["1.0", "2.5"])).any()
    assert (drawn(shares, columns=["1", "2", "3"]) != drawn(shares, columns=["1", "2", "4"])).any()
    nameless = drawn(shares, rows=[" "] * 2, columns=[" "] * 3)
    named = drawn(shares, rows=["8"] * 2, columns=["8"] * 3)
    assert bright(named) > bright(nameless) > 0
    # Columns of 2 pixels have room for every few names.
    many = np.zeros((1, 1000))
    assert 0 < bright(drawn(many, columns=["8"] * 1000)) < 1000 * 20


def bright(picture):
    """Pixels of writing."""
    assert (picture == BACKGROUND).all(axis=-1).any()
    return int((picture > np.array(INK) // 2).all(axis=-1).sum())


def test_an_empty_table_is_drawn():
    assert drawn(np.zeros((0, 0))).shape[-1] == 3
