"""Made-up people: exact boxes, and actions that show where they should."""

import numpy as np

from jaxvision.data.actions.moving_figures import ACTIONS, MOTIONS, Figure, MovingFigures

CLIPS = MovingFigures(count=60, seed=3)


def figure(**changes) -> Figure:
    return Figure(
        **{
            "x": 60.0,
            "ground": 80.0,
            "height": 50.0,
            "speed": 0.0,
            "phase": 1.0,
            "waves": False,
            "crouches": False,
            "colour": (200, 200, 200),
            **changes,
        }
    )


def test_the_same_number_is_the_same_clip():
    first, again = CLIPS[7], CLIPS[7]
    np.testing.assert_array_equal(first.frames, again.frames)
    assert first.frames.shape == (8, 96, 128, 3)
    assert (CLIPS[8].frames != first.frames).any()


def test_every_action_occurs_and_is_missing():
    share = np.concatenate([CLIPS[n].actions for n in range(len(CLIPS))]).mean(axis=0)
    assert len(share) == len(ACTIONS)
    assert (share > 0.15).all()
    assert (share < 0.85).all()


def test_boxes_hold_the_figure_and_nothing_less():
    for one in (figure(), figure(waves=True), figure(crouches=True), figure(x=2.0)):
        x1, y1, x2, y2 = one.mask(0, (128, 96)).getbbox()
        pixels = np.asarray(one.mask(0, (128, 96)))
        rows, columns = np.nonzero(pixels)
        assert (columns.min(), rows.min(), columns.max(), rows.max()) == (x1, y1, x2 - 1, y2 - 1)
    for n in range(20):
        clip = CLIPS[n]
        assert clip.boxes.min() >= 0
        assert (clip.boxes[:, 2:] < (128, 96)).all()
        assert (clip.boxes[:, 2:] > clip.boxes[:, :2]).all()
        assert len(clip.boxes) == len(clip.actions)


def test_walking_shows_in_time_only():
    size = (128, 96)
    standing, walking = figure(), figure(speed=2.0)
    assert standing.mask(0, size).tobytes() == walking.mask(0, size).tobytes()
    assert standing.mask(3, size).tobytes() == standing.mask(0, size).tobytes()
    assert walking.mask(3, size).tobytes() != walking.mask(0, size).tobytes()


def test_together_depends_on_the_others():
    found = [CLIPS[n] for n in range(len(CLIPS))]
    alone = [clip.actions[0, ACTIONS.index("together")] for clip in found if len(clip.boxes) == 1]
    assert alone
    assert not any(alone)


def test_motions_show_in_time_only():
    size = (128, 96)
    reaching, waving = figure(arms=0.5), figure(arms=0.5, swing=1.0)
    assert waving.mask(0, size).tobytes() == reaching.mask(0, size).tobytes()
    assert reaching.mask(2, size).tobytes() == reaching.mask(0, size).tobytes()
    assert waving.mask(2, size).tobytes() != waving.mask(0, size).tobytes()
    assert figure().mask(0, size).tobytes() != reaching.mask(0, size).tobytes()


def test_every_motion_is_as_frequent_as_its_like():
    clips = MovingFigures(count=200, seed=3, frames=1, height=48, width=64, motions=True)
    rows = np.concatenate([clips[n].actions for n in range(len(clips))])
    stand, walk, reach, wave, together = rows.T
    assert len(MOTIONS) == rows.shape[1]
    np.testing.assert_array_equal(stand + walk, 1)
    assert (reach + wave).max() == 1
    share = rows.mean(axis=0)
    np.testing.assert_allclose(share[:2], 1 / 2, atol=0.1)
    np.testing.assert_allclose(share[2:4], 1 / 3, atol=0.1)
    assert 0.15 < together.mean() < 0.85
