"""What annotations of the wild hold: short videos, odd captions, files that cannot be read."""

import json

import jax
import numpy as np
import pytest

from jaxvision.data.conversions import collecting
from jaxvision.data.loader import Schedule, TrainingBatches
from jaxvision.errors import InputError
from jaxvision.methods.umt.language.inputs import CaptionRecords, read_clip, training_numbers
from jaxvision.methods.umt.task import make_task
from jaxvision.training.mesh import make_mesh
from jaxvision.training.run import prepare_run
from jaxvision.training.state import abstract_variables
from jaxvision.viz.files import write_mp4
from jaxvision.weights.mapping import flatten
from methods.umt.language.small import COLOURS, LENGTH, SIDE, made, recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wild")
    made(folder)
    made(folder, medium="image")
    return folder


def written(folder, name, records):
    (folder / name).write_text(json.dumps(records))
    return str(folder / name)


def source_of(folder, records, **overrides):
    file = written(folder, "wild.json", records)
    return make_task(recipe(folder, **{"data.train": file, **overrides})).source("train")


def test_an_unreadable_video_is_replaced_with_its_caption(folder):
    """The published loader keeps the caption of the video that it could not read."""
    good = json.loads((folder / "video.json").read_text())[:3]
    (folder / "torn.mp4").write_bytes(b"no video")
    source = source_of(folder, [*good, {"video": "torn.mp4", "caption": "a grey video"}])
    schedule = Schedule(("video",), np.zeros(1, int), np.zeros(1, int))
    batch = TrainingBatches({"video": source}, schedule, seed=0)[0]
    assert [name for name, _ in batch.replaced] == [str(folder / "torn.mp4")]
    pieces = source.transform.pieces
    assert not (batch.arrays["ids"] == pieces.id("grey")).any()
    # Each sample's colour is that of its caption.
    for clip, ids in zip(batch.arrays["video"], batch.arrays["ids"], strict=True):
        found = next(name for name in COLOURS if pieces.id(name) in ids)
        brightest = np.argmax(clip.reshape(-1, 3).mean(axis=0))
        assert brightest == np.argmax(COLOURS[found])


def test_captions_that_are_long_empty_or_several(folder):
    path = json.loads((folder / "video.json").read_text())[0]["video"]
    listed = [["a red video " * 20, "?!"], "...", "a video"]
    records = [{"video": path, "caption": caption} for caption in listed]
    source = source_of(folder, [*records, records[2]])
    rng = np.random.default_rng(0)
    drawn = [source.transform(source.records[0], rng, "video")["ids"] for _ in range(8)]
    assert len({ids.tobytes() for ids in drawn}) == 2
    assert max((ids != 0).sum() for ids in drawn) == LENGTH
    empty = source.transform(source.records[1], rng, "video")
    assert empty["mask"].sum() == 1
    assert source.records.summary() == (
        "4 records with 5 captions; 1 with several; 2 captions are empty; "
        f"1 captions are cut to {LENGTH} tokens"
    )
    assert CaptionRecords(source.records.records[2:]).summary() == "2 records with 2 captions"


def test_equal_captions_are_one_text_where_a_text_has_many_videos(folder):
    records = json.loads((folder / "video.json").read_text())[:2]
    listed = [{"video": r["video"], "caption": c} for r, c in zip(records, "aA", strict=True)]
    listed += [{"video": records[0]["video"], "caption": "other"}] * 2
    keys = {}
    for flag in (False, True):
        source = source_of(folder, listed, **{"data.many_videos_a_text": flag})
        keys[flag] = [source.records[n].number for n in range(4)]
    assert keys == {False: [0, 1, 0, 0], True: [0, 0, 1, 1]}


def test_short_videos_and_beginnings(folder):
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(training_numbers(2, 4, rng), [0, 1, 1, 1])
    grey = np.repeat(np.arange(0, 240, 12, np.uint8), SIDE * SIDE * 3).reshape(20, SIDE, SIDE, 3)
    write_mp4(folder / "brighter.mp4", grey, 10)
    with collecting() as notes:
        whole = read_clip(folder / "brighter.mp4", 4, None).mean(axis=(1, 2, 3))
        assert notes == []
        assert len(read_clip(folder / "brighter.mp4", 24, rng)) == 24
    name = str(folder / "brighter.mp4")
    assert notes == [("a video of fewer frames than a clip", name, "20 of 24")]
    begun = read_clip(folder / "brighter.mp4", 4, None, seconds=1.0).mean(axis=(1, 2, 3))
    assert whole[-1] > 190
    assert 80 < begun[-1] < 110
    np.testing.assert_allclose(
        read_clip(folder / "brighter.mp4", 4, None, seconds=99.0).mean(axis=(1, 2, 3)), whole
    )


def test_several_files_are_one_corpus(folder):
    one, two = (
        written(folder, f"{name}.json", json.loads((folder / "video.json").read_text())[part])
        for name, part in (("one", slice(0, 3)), ("two", slice(3, 8)))
    )
    task = make_task(recipe(folder, **{"data.train": f"{one},{two}"}))
    assert task.captions("train") == make_task(recipe(folder)).captions("train")


def test_what_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match=r"data\.vocabulary: expected BERT's vocab\.txt"):
        _ = make_task(recipe(folder, **{"data.vocabulary": ""})).pieces
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nword\n")
    with pytest.raises(InputError, match=r"vocab\.txt: a vocabulary without \[MASK\]"):
        _ = make_task(recipe(folder, **{"data.vocabulary": str(tmp_path / "vocab.txt")})).pieces
    halved = recipe(folder, **{"train.accumulate": 2})
    with pytest.raises(InputError, match=r"train\.accumulate=2: the loss of 'umt' compares"):
        prepare_run(make_task(halved), halved, jax.devices()[:1])
    other = recipe(folder, "stage2", **{"teacher.image_size": (35, 35), "data.pictures": ""})
    with pytest.raises(InputError, match=r"\(5, 5\) tokens of a frame; expected .* \(4, 4\)"):
        jax.eval_shape(make_task(other).init, jax.random.key(0))
    (folder / "torn.sqlite").write_bytes(b"SQLite format 3\x00 and nothing")
    with pytest.raises(InputError, match=r"torn\.sqlite: record 0: cannot be read as SQLite"):
        make_task(recipe(folder, **{"data.train": str(folder / "torn.sqlite")})).source("train")
    listed = [{"video": "a.mp4", "caption": caption} for caption in ("a", 3)]
    with pytest.raises(InputError, match=r'wild\.json: record 1: "caption" is 3'):
        source_of(folder, listed)


@pytest.mark.parametrize(("parts", "split"), [(2, True), (4, False)])
def test_bert_s_words_on_a_tensor_axis(folder, parts, split):
    """30,522 rows divide by 2. By 4 they do not: the table stays whole along that axis, and the run
    says so at its start."""
    task = make_task(recipe(folder, **{"language.vocabulary": 30522}))
    axes = {"data": 1, "fsdp": 8 // parts, "tensor": parts}
    _, shardings, fallbacks = abstract_variables(task, make_mesh(axes))
    spec = flatten(shardings)["params/text/embeddings/words"].spec
    assert (spec[0] is not None) == split
    assert spec[1] is not None
    said = [str(fallback) for fallback in fallbacks if "embeddings/words" in fallback.path]
    assert len(said) == (not split)
