"""The stereo pair that comes with scikit-image: its truth moves pixels and points alike."""

import numpy as np

from jaxvision.data.scene_flow.geometry import inside, project
from jaxvision.data.scene_flow.stereo_pair import BASELINE, motorcycle


def test_moved_points_lie_where_the_flow_leads():
    pair = motorcycle()
    size, known = pair.size, pair.flow_2d[..., 2] > 0
    y, x = np.nonzero(known)
    start, moved = (project(pair.clouds[0] + m, pair.camera) for m in (0, pair.flow_3d))
    np.testing.assert_allclose(start, np.stack([x, y], axis=1), atol=1e-2)
    np.testing.assert_allclose(moved - start, pair.flow_2d[known][:, :2], atol=0.05)
    seen = inside(moved, size)
    assert len(pair.clouds[1]) == seen.sum() < len(seen)
    np.testing.assert_array_equal(pair.clouds[1], (pair.clouds[0] + pair.flow_3d)[seen])
    assert (pair.flow_3d == np.float32([-BASELINE, 0, 0])).all()


def test_the_flow_leads_to_pixels_of_the_same_colour():
    pair = motorcycle()
    first, second = pair.images.astype(float)
    known = pair.flow_2d[..., 2] > 0
    y, x = np.nonzero(known)
    there = np.round(x + pair.flow_2d[known][:, 0]).astype(int)
    kept = there >= 0
    y, x, there = y[kept], x[kept], there[kept]
    found = np.abs(second[y, there] - first[y, x]).mean()
    for wrong in (0, 5):  # no flow, and five pixels more
        column = np.clip((x if not wrong else there + wrong), 0, first.shape[1] - 1)
        assert found < 0.4 * np.abs(second[y, column] - first[y, x]).mean()
