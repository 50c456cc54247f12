"""Ground truth pickles of tubes: what is refused, by video."""

import pickle

import numpy as np
import pytest

from jaxvision.data.actions.act_files import read_act_tubes
from jaxvision.errors import InputError


def content(**changes) -> dict:
    tube = np.array([[frame, 1, 2, 9, 8] for frame in range(1, 5)], np.float32)
    return {
        "labels": ["jump"],
        "train_videos": [["a"]],
        "test_videos": [["a"]],
        "nframes": {"a": 4},
        "resolution": {"a": (240, 320)},
        "gttubes": {"a": {0: [tube]}},
        **changes,
    }


def written(tmp_path, **changes):
    path = tmp_path / "GT.pkl"
    path.write_bytes(pickle.dumps(content(**changes), protocol=2))
    return path


def test_what_is_read(tmp_path):
    truth = read_act_tubes(written(tmp_path))
    assert (truth.labels, truth.split(1, "test")) == (("jump",), ("a",))
    assert truth.resolution["a"] == (240, 320)
    np.testing.assert_array_equal(truth.tubes["a"][0][0][:, 0], [1, 2, 3, 4])
    with pytest.raises(InputError, match="expected 1 to 1"):
        truth.split(2, "train")


def rows(*values) -> dict:
    return {"gttubes": {"a": {0: [np.array(values, np.float32)]}}}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"nframes": {"a": 3}}, "frames 1 to 4; the video has 1 to 3"),
        (rows((0, 1, 2, 9, 8)), "frames 0 to 0"),
        (rows((1, 9, 2, 1, 8)), "sides exchanged"),
        (rows((1, 1, 2, 9, 8), (3, 1, 2, 9, 8)), "leaves out frames"),
        (rows((1, 1, 2, np.nan, 8)), "not finite"),
        (rows((1, 1, 2, 9)), "expected .frames, 5."),
        ({"gttubes": {"a": {1: []}}}, "label 1; there are 1"),
        ({"test_videos": [["b"]]}, "no video 'b'"),
    ],
)
def test_bad_truth_names_the_video(tmp_path, changes, word):
    with pytest.raises(InputError, match=rf"GT.pkl: .*{word}"):
        read_act_tubes(written(tmp_path, **changes))


def test_a_missing_key_and_a_pickle_that_asks_for_more(tmp_path):
    broken = content()
    del broken["gttubes"]
    path = tmp_path / "GT.pkl"
    path.write_bytes(pickle.dumps(broken))
    with pytest.raises(InputError, match="no key 'gttubes'"):
        read_act_tubes(path)
    path.write_bytes(pickle.dumps({**content(), "labels": print}))
    with pytest.raises(InputError, match="asks for"):
        read_act_tubes(path)
