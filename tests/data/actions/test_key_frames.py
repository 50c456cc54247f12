"""Key frames as records: which frame is read, and what lies beyond a film."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxvision.data.actions.act_files import ActionTubes
from jaxvision.data.actions.ava_people import KeyFramePeople, PeopleOfFrame
from jaxvision.data.actions.key_frames import (
    JHMDB_TEMPLATE,
    ava_key_frames,
    own_key_frames,
    tube_key_frames,
)
from jaxvision.data.actions.own_lists import Moment
from jaxvision.errors import InputError
from jaxvision.viz.files import write_mp4


def pictures(folder: Path, names) -> None:
    """The n-th picture is n everywhere."""
    folder.mkdir(parents=True)
    for number, name in enumerate(names):
        Image.fromarray(np.full((20, 40, 3), number, np.uint8)).save(folder / name)


def test_ava_seconds_in_the_lists_order(tmp_path):
    pictures(tmp_path / "m", [f"m_{n:06}.png" for n in range(1, 91)])
    one = PeopleOfFrame(np.array([[0, 0, 1, 1.0], [0, 0, 0.5, 1]]), ((1, 3), ()))
    people = KeyFramePeople({"m": {902: one}, "elsewhere": {902: one, 904: one}}, outside=4)
    lists = {"n": [], "m": [f"m/m_{n:06}.png" for n in range(1, 91)]}
    records = ava_key_frames(people, lists, tmp_path, classes=3)
    assert [records.name(n) for n in range(len(records))] == ["m at 902"]
    assert records.left_out() == (
        "2 annotated seconds of films without frames, 1 films without annotated seconds, "
        "4 rows of seconds that AVA does not annotate"
    )
    np.testing.assert_array_equal(records[0].actions, [[1, 0, 1], [0, 0, 0]])
    clip = records[0].clip(4, 10)
    np.testing.assert_array_equal(clip[:, 0, 0, 0], [40, 50, 60, 70])
    np.testing.assert_array_equal(records[0].clip(4, 20)[:, 0, 0, 0], [20, 40, 60, 80])
    late = ava_key_frames(KeyFramePeople({"m": {903: one}}, 0), lists, tmp_path, classes=3)[0]
    with pytest.raises(InputError, match="key frame 90 of second 903 lies beyond its 90 frames"):
        late.clip(4, 10)
    (tmp_path / "m/m_000061.png").unlink()
    missing = r"m_000061\.png: not a picture that can be read \(No such file"
    with pytest.raises(InputError, match=missing):
        records[0].clip(4, 10)


def test_a_tubes_frame_is_the_file_of_its_number(tmp_path):
    pictures(tmp_path / "v", [f"{n:05}.png" for n in range(1, 7)])
    tubes = [
        np.array([[frame, 0, 0, 19, 9] for frame in (2, 3)], np.float32),
        np.array([[3, 20, 10, 39, 19]], np.float32),
    ]
    truth = ActionTubes(
        labels=("jump", "run"),
        train=((),),
        test=(("v",),),
        frames={"v": 6},
        resolution={"v": (20, 40)},
        tubes={"v": {0: (tubes[0],), 1: (tubes[1],)}},
    )
    records = tube_key_frames(truth, truth.split(1, "test"), tmp_path, JHMDB_TEMPLATE)
    assert [records.name(n) for n in range(len(records))] == ["v at 2", "v at 3"]
    np.testing.assert_array_equal(records[1].boxes, [[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]])
    np.testing.assert_array_equal(records[1].actions, [[1, 0], [0, 1]])
    # The middle one of 3 frames: file 00003, whose pixels are 2.
    np.testing.assert_array_equal(records[1].clip(2, 1)[:, 0, 0, 0], [1, 2])
    np.testing.assert_array_equal(records[1].clip(8, 1)[:, 0, 0, 0], [0, 0, 0, 1, 2, 3, 4, 5])


def moment(time: float, *box: float) -> Moment:
    return Moment("a.mp4", time, ("ann",), np.array([box], float), np.ones((1, 2), np.uint8))


def test_the_frame_that_is_shown_at_a_time(tmp_path):
    levels = np.arange(10, dtype=np.uint8)[:, None, None, None] * 20
    write_mp4(tmp_path / "a.mp4", np.broadcast_to(levels, (10, 32, 64, 3)).copy(), 5)
    whole = (0.0, 0.0, 32.0, 32.0)
    times = (0.0, 0.2, 0.39, 0.3999999, 1.9)
    records = own_key_frames([moment(t, *whole) for t in times], tmp_path, "pixels")
    assert [records[n].centre for n in range(len(records))] == [0, 1, 1, 2, 9]
    assert records.files() == [tmp_path / "a.mp4"]
    np.testing.assert_array_equal(records[0].boxes, [[0, 0, 0.5, 1]])
    seen = records[4].clip(4, 1)[:, 0, 0, 0]
    np.testing.assert_allclose(seen, [140, 160, 180, 180], atol=4)
    with pytest.raises(InputError, match=r"a.mp4: time 2.5 s; the film ends at 2.000 s"):
        own_key_frames([moment(2.5, *whole)], tmp_path, "pixels")
    with pytest.raises(InputError, match=r"a.mp4: a box at 1 s lies beyond its 64 x 32 pixels"):
        own_key_frames([moment(1, 0, 0, 65, 32)], tmp_path, "pixels")
