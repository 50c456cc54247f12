"""The virtual camera: paths stay on the picture, and the flow is what the frames show."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvision.data import pictures
from jaxvision.data.camera import MOTIONS, CameraPath, draw_path
from jaxvision.errors import InputError


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(MOTIONS),
    st.tuples(st.integers(96, 900), st.integers(96, 900)),
)
@settings(max_examples=200, deadline=None)
def test_paths_never_leave_the_picture(seed, motion, size):
    path = draw_path(np.random.default_rng(seed), motion, size, (40, 56))
    corners = np.array([[0, 0, 1], [56, 0, 1], [0, 40, 1], [56, 40, 1]], float)
    for time in np.linspace(0, 1, 9):
        x, y, _ = path.matrix(time) @ corners.T
        assert x.min() >= -1e-6
        assert y.min() >= -1e-6
        assert x.max() <= size[0] + 1e-6
        assert y.max() <= size[1] + 1e-6


@given(st.integers(0, 2**32 - 1), st.sampled_from(MOTIONS))
@settings(max_examples=50, deadline=None)
def test_flow_follows_a_point_of_the_picture(seed, motion):
    path = draw_path(np.random.default_rng(seed), motion, (512, 512), (32, 48))
    flow = path.flow(0.2, 0.7)
    row, column = 11, 30
    point = np.array([column + 0.5, row + 0.5, 1])
    moved = point + np.append(flow[row, column], 0)
    np.testing.assert_allclose(path.matrix(0.2) @ point, path.matrix(0.7) @ moved, atol=1e-3)


@pytest.mark.parametrize("motion", MOTIONS)
def test_frames_move_as_the_flow_says(motion):
    picture = pictures.built_in("train")[0]
    rng = np.random.default_rng(3)
    path = draw_path(rng, motion, picture[0].size, (64, 64), speed=0.15, reach=(0.1, 0.15))
    first, second = (frame.astype(float) for frame in path.clip(picture, [0.0, 1.0]))
    flow = path.flow(0.0, 1.0)
    y, x = np.mgrid[:64, :64]
    to_x, to_y = np.rint(x + flow[..., 0]).astype(int), np.rint(y + flow[..., 1]).astype(int)
    inside = (to_x >= 0) & (to_x < 64) & (to_y >= 0) & (to_y < 64)
    followed = second[to_y[inside], to_x[inside]]
    error, change = np.abs(followed - first[inside]).mean(), np.abs(second - first).mean()
    if motion == "static":
        assert error == change == 0
    else:
        assert error < 0.5 * change


def test_pan_right_shows_what_lies_right():
    path = draw_path(np.random.default_rng(0), "pan right", (400, 400), (32, 32))
    assert path.pan[0] > 0
    assert path.pan[1] == 0
    # The scene moves left.
    assert path.flow(0, 1)[16, 16, 0] < -5


def test_still_camera_at_scale_one_is_the_picture():
    picture = pictures.built_in("train")[0]
    path = CameraPath((20, 30), (115.0, 110.0), 1.0)
    expected = np.asarray(picture[0])[100:120, 100:130]
    np.testing.assert_array_equal(path.frame(picture, 0.3), expected)


def test_a_picture_too_small_is_refused():
    with pytest.raises(InputError, match="too small for a view"):
        draw_path(np.random.default_rng(0), "zoom in", (20, 20), (224, 224))


def test_built_in_photographs_do_not_overlap_and_decode():
    training, held_out = pictures.built_in("train"), pictures.built_in("held_out")
    assert not set(training.paths) & set(held_out.paths)
    for found in (training, held_out):
        for index in range(len(found)):
            assert found[index][0].mode == "RGB"


def test_folder_reads_a_users_pictures(tmp_path):
    picture = pictures.built_in("train")[0][0]
    picture.save(tmp_path / "b.png")
    (tmp_path / "deep").mkdir()
    picture.convert("L").save(tmp_path / "deep" / "a.JPG")
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing follows")
    found = pictures.folder(tmp_path)
    assert [path.name for path in found.paths] == ["b.png", "broken.png", "a.JPG"]
    assert found[2][0].mode == "RGB"
    with pytest.raises(InputError, match=r"broken\.png: not a picture that can be read"):
        found[1]
    with pytest.raises(InputError, match=r"no pictures there"):
        pictures.folder(tmp_path / "nowhere")
