"""Made-up clips do what their captions say."""

import numpy as np
import pytest
from PIL import Image

from jaxvision.data import pictures
from jaxvision.data.moving_shapes import (
    COLOURS,
    DIRECTIONS,
    PICTURE_CAPTIONS,
    SCENES,
    SIZES,
    SPEEDS,
    WORDS,
    LabelledShapes,
    MadeClip,
    MovingShapes,
)
from jaxvision.errors import InputError

SIDE = 40


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Over a black picture: what is not black is the shape."""
    folder = tmp_path_factory.mktemp("black")
    Image.new("RGB", (64, 80)).save(folder / "black.png")
    found = pictures.folder(folder)
    return MovingShapes(backgrounds=found, count=800, seed=3, frames=4, side=SIDE)


def test_a_shape_has_the_colour_the_size_and_the_motion_of_its_caption(shapes):
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    for index in range(60):
        scene, clip = shapes.scene(index), shapes.clip(index)
        seen = clip.max(axis=-1) / clip.max()
        weight = seen.sum(axis=(1, 2))
        centres = np.stack([(seen * at).sum(axis=(1, 2)) / weight for at in (columns, rows)], -1)
        way = np.array(DIRECTIONS[scene.direction]) * SPEEDS[scene.speed] * SIDE
        np.testing.assert_allclose(centres[-1] - centres[0], way, atol=0.3)
        # It never leaves the frame.
        np.testing.assert_allclose(weight, weight[0], rtol=0.04)
        wide = np.flatnonzero(seen[0].max(axis=0) > 0.5)
        share = (wide[-1] - wide[0] + 1) / SIDE / 2
        assert abs(share / SIZES[scene.size] - 1) < 0.25, scene
        colour = clip.reshape(-1, 3)[clip.sum(axis=-1).argmax()]
        nearest = min(COLOURS, key=lambda name: np.abs(np.array(COLOURS[name]) - colour).sum())
        assert nearest == scene.colour


def test_clips_in_a_row_show_each_scene_once(shapes):
    for first in (0, len(SCENES)):
        seen = {shapes.scene(first + number) for number in range(len(SCENES))}
        assert seen == set(SCENES)
    assert [shapes.scene(n) for n in range(9)] != [shapes.scene(n + len(SCENES)) for n in range(9)]
    assert len({scene.caption for scene in SCENES}) == len(SCENES)


def test_a_clip_is_the_same_every_time_and_frames_may_be_chosen():
    made = MovingShapes(
        backgrounds=pictures.built_in("train"), count=9, seed=1, frames=4, side=SIDE
    )
    whole = made.clip(5)
    assert whole.shape == (4, SIDE, SIDE, 3)
    np.testing.assert_array_equal(MadeClip(made, 5).read(np.arange), whole)
    np.testing.assert_array_equal(made.clip(5, [2]), whole[2:3])
    assert not np.array_equal(made.clip(6), whole)


def test_labels_and_words(shapes):
    clip, label = LabelledShapes(shapes)[7]
    assert str(clip) == shapes.name(7)
    assert shapes.scene(7).caption.startswith(PICTURE_CAPTIONS[label])
    assert set(shapes.scene(7).caption.split()) <= set(WORDS)


def test_what_is_refused(shapes):
    with pytest.raises(InputError, match="8 clips of 1 frames: expected one clip, two frames"):
        MovingShapes(backgrounds=shapes.backgrounds, count=8, seed=0, frames=1, side=SIDE)
