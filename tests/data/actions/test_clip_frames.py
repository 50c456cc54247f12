"""Frames of a clip and rules of boxes; the published programs' values are golden cases."""

import numpy as np
import pytest

from jaxvision.data.actions import clip_frames, pixel_boxes


def test_clips_repeat_a_films_ends():
    np.testing.assert_array_equal(clip_frames.around(1, 4, 2, 100), [0, 0, 1, 3])
    np.testing.assert_array_equal(clip_frames.around(98, 4, 2, 100), [94, 96, 98, 99])
    np.testing.assert_array_equal(clip_frames.middle(4, 8, 1), [0, 0, 0, 1, 2, 3, 3, 3])


def test_seconds_keep_the_key_frame_in_the_middle():
    counts = {1: 3, 2: 2, 3: 3}
    assert clip_frames.of_seconds(counts, 2, 4) == [(1, 1), (1, 2), (2, 0), (2, 1)]
    # Nothing before the film: no frame on either side.
    assert clip_frames.of_seconds(counts, 1, 4) == []


@pytest.mark.parametrize("sides", [(480, 640), (640, 480), (256, 300), (720, 1720)])
def test_sizes_keep_the_aspect_and_the_bounds(sides):
    height, width = clip_frames.bounded_size(*sides, 256, 464)
    assert max(height, width) <= 464
    assert min(height, width) <= 256
    assert height / width == pytest.approx(sides[0] / sides[1], rel=0.01)


def test_padding_to_multiples():
    assert clip_frames.padded_size(np.array([[30, 41], [35, 20]]), 16) == (48, 48)
    assert clip_frames.padded_size(np.array([[32, 64]]), 32) == (32, 64)


def test_boxes_there_and_back():
    boxes = np.array([[3, 4, 10, 20], [0, 0, 0, 0]], np.float32)
    back = pixel_boxes.from_corner_and_size(pixel_boxes.to_corner_and_size(boxes))
    np.testing.assert_array_equal(back, boxes)
    twice = pixel_boxes.mirrored(pixel_boxes.mirrored(boxes, 64), 64)
    np.testing.assert_array_equal(twice, boxes)
    np.testing.assert_array_equal(pixel_boxes.shares(boxes, (11, 21))[0, 2:], [1, 1])


def test_jitter_never_leaves_the_frame_nor_empties_a_box():
    draw = np.random.default_rng(0)
    boxes = np.sort(draw.uniform(0, 63, (200, 2, 2)), axis=1).reshape(200, 4).astype(np.float32)
    strong = pixel_boxes.Jitter(2, 2, 2, 2)
    moved = pixel_boxes.jittered(boxes, (64, 64), draw.random((200, 4)), strong)
    assert pixel_boxes.not_empty(moved).all()
    assert moved.min() >= 0
    assert moved.max() <= 63
