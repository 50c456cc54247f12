"""Whose films a recipe reads: own lists and tubes, and what is asked of them."""

import json
import pickle

import jax
import numpy as np
import pytest
from PIL import Image

from jaxvision.errors import InputError
from jaxvision.methods.cycleacr import evaluation, films
from jaxvision.registry import load_config, make_task
from jaxvision.viz.files import write_mp4

SMALL = ("model.frames=4", "task.crop=32", "task.short_side=32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A film of two seconds with people at 0.5 s and at 1.5 s, and a video of pictures with one on
    frames 2 and 3."""
    folder = tmp_path_factory.mktemp("films")
    write_mp4(folder / "a.mp4", np.zeros((20, 32, 64, 3), np.uint8), 10)
    (folder / "labels.txt").write_text("walk\nwave\nsit\n")
    rows = ["clip,time,person,x1,y1,x2,y2,label", "a.mp4,0.5,ann,0,0,0.5,1,wave"]
    rows += ["a.mp4,1.5,ann,0.5,0,1,1,sit", "a.mp4,1.5,bob,0,0,1,1,"]
    (folder / "list.csv").write_text("\n".join(rows) + "\n")
    (folder / "v").mkdir()
    for number in range(1, 5):
        Image.fromarray(np.zeros((40, 80, 3), np.uint8)).save(folder / f"v/{number:05}.jpg")
    tube = np.array([[frame, 0, 0, 39, 19] for frame in (2, 3)], np.float32)
    content = {"labels": ["jump", "run"], "train_videos": [["v"]], "test_videos": [["v"]]}
    content |= {"nframes": {"v": 4}, "resolution": {"v": (40, 80)}, "gttubes": {"v": {1: [tube]}}}
    (folder / "GT.pkl").write_bytes(pickle.dumps(content))
    return folder


def own(folder, *more):
    files = [f"data.root={folder}", f"data.labels={folder}/labels.txt"]
    files += [f"data.{split}={folder}/list.csv" for split in ("train", "validation")]
    return load_config("cycleacr/own", [*SMALL, *files, *more])


def tubes(folder, *more):
    files = [f"data.root={folder}", f"data.tubes={folder}/GT.pkl", "data.classes=2"]
    return load_config("cycleacr/ucf24", ["model.frames=8", "task.groups=(2,0,0)", *files, *more])


def test_an_own_list_is_trained_on_and_asked(folder):
    task = make_task(own(folder))
    assert task.class_names == ("walk", "wave", "sit")
    # A second is a moment: 0.5 s and 1.5 s are as near to the later as to the earlier one.
    assert task.moments == [("a.mp4", 1), ("a.mp4", 2)]
    (source,) = task.source("train").values()
    sample = source.transform(source.records[1], np.random.default_rng(0), "32x32")
    assert sample["fast"].shape == (4, 32, 32, 3)
    assert (sample["row"], sample["exists"].sum()) == (1, 2)
    np.testing.assert_array_equal(sample["actions"][:2], [[0, 0, 1], [0, 0, 0]])
    truth = evaluation.truth_of(task.config, task.class_names).rows
    np.testing.assert_array_equal(truth.label, [2, 3])
    np.testing.assert_allclose(truth.box, [[0, 0, 0.5, 1], [0.5, 0, 1, 1]])
    assert set(task.evaluations()) == {"key_frames"}


def test_a_grid_of_time_that_is_too_coarse_is_refused(folder):
    with pytest.raises(InputError, match=r"data\.every=4: key frames of a\.mp4 at 0\.5 and 1\.5"):
        make_task(own(folder, "data.every=4.0")).source("train")


def test_key_frames_without_anybody_are_refused(folder):
    boxes = folder / "boxes.json"
    boxes.write_text(json.dumps([{"image_id": 0, "bbox": [1, 1, 9, 9], "score": 0.1}]))
    config = own(folder, f"data.boxes={boxes}")
    expected = (
        r"data\.boxes=.*boxes\.json: nobody with a score of at least 0\.8 on any key frame; 0 "
    )
    with pytest.raises(InputError, match=expected):
        make_task(config).evaluations()
    # Shares that are said to be pixels: every box is less than one.
    with pytest.raises(
        InputError, match=r"data\.train=.*list\.csv: nobody on .*3 boxes were empty"
    ):
        make_task(own(folder, "data.unit=pixels")).source("train")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("model.patch=7", r"model\.patch=7: does not divide 16, which"),
        ("task.crop=40", r"model\.patch=16: does not divide 40, task\.crop"),
        ("model.remat=some", r"model\.remat 'some'"),
        ("model.dropout=1.5", r"model\.dropout=1\.5: expected a share"),
        ("task.box_threshold=2.0", r"task\.box_threshold=2\.0: expected a share"),
        ("model.stem_width=4", r"model\.stem_width=4: expected at least 8"),
        ("model.swin_heads=(4,)", r"model\.swin_heads=\(4,\): expected 4, as model\.swin_depths"),
        ("model.swin_heads=(4,8,16,33)", r"33 does not divide 1024, the width of stage 4"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(folder, more, message):
    swin = ("model.backbone=swin",) if "swin" in more else ()
    with pytest.raises(InputError, match=message):
        _ = make_task(own(folder, more, *swin)).model


def test_what_answers_needs_no_films_of_its_training(folder):
    """A run's classes are known, and its memory is not read."""
    small = ("model.width=16", "model.heads=2", "model.layers=1", "model.head_width=16")
    config = own(folder, *small, "data.root=gone", "data.labels=gone.txt")
    names = ("walk", "wave", "sit")
    shapes = jax.eval_shape(make_task(config, names).init, jax.random.key(0))
    assert set(shapes) == {"params"}
    with pytest.raises(InputError, match=r"gone\.txt"):
        make_task(config).init(jax.random.key(0))


def test_every_frame_of_a_tube_is_a_moment(folder):
    config = tubes(folder)
    task = make_task(config)
    assert task.class_names == ("jump", "run")
    assert task.moments == [("v", 2), ("v", 3)]
    assert task.counted_labels() == [1, 2]
    # What is said of both frames' person is all true: every one of ACT's results is whole.
    box, scores = np.array([[0, 0, 0.5, 0.5]]), np.array([[0.0, 1.0]])
    results = evaluation.tube_results(config)
    whole = results([(moment, box, scores) for moment in task.moments])
    assert whole.keys() == {"frame_map", "video_map_0.2", "video_map_0.5", "video_map_0.5_to_0.95"}
    half = results([(task.moments[0], box, scores)])
    # Labels without truth count 0: half of two.
    assert whole["frame_map"] == pytest.approx(50)
    assert half["frame_map"] < whole["frame_map"]
    assert evaluation.tube_results(own(folder)) is None


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("data.classes=3", r"GT\.pkl: 2 labels; data\.classes=3"),
        ("data.split=2", r"split 2: expected 1 to 1"),
        ("data.tubes=", r"data\.tubes: expected the pickle"),
    ],
)
def test_tubes_of_another_data_set_are_refused(folder, more, message):
    task = make_task(tubes(folder, more))
    with pytest.raises(InputError, match=message):
        films.records_of(task.config, "validation", task.class_names)
