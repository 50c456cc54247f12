"""Flow as colours."""

import numpy as np

from jaxvision.viz.optical_flow import flow_picture


def test_no_motion_is_white_and_directions_have_hues_of_their_own():
    angles = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    flow = np.zeros((1, 9, 2), np.float32)
    flow[0, 1:] = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    picture = flow_picture(flow, largest=1.0)
    assert picture[0, 0].tolist() == [255, 255, 255]
    assert len({tuple(colour) for colour in picture[0, 1:].tolist()}) == 8
    # To the right is red, as in the published wheel.
    assert picture[0, 1].tolist() == [255, 0, 0]


def test_longer_vectors_are_more_saturated_and_too_long_ones_darker():
    flow = np.zeros((1, 3, 2), np.float32)
    flow[0, :, 0] = [0.5, 1.0, 3.0]
    half, full, beyond = flow_picture(flow, largest=1.0)[0].astype(int)
    assert half.min() > full.min()
    assert beyond.max() < full.max()
