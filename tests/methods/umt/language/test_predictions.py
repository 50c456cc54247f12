"""`predict` on videos and words: captions scored, videos ranked, questions answered."""

import json

import jax
import numpy as np
import pytest
from flax import linen as nn
from PIL import Image

from jaxvision.data.video import SUFFIXES
from jaxvision.errors import InputError, Unanswered
from jaxvision.methods.umt.language import predictions
from jaxvision.methods.umt.task import make_task
from jaxvision.viz.files import write_mp4
from methods.umt.language.small import COLOURS, SIDE, made, recipe, with_questions


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Annotations as for training, and a video file of three of the colours."""
    folder = tmp_path_factory.mktemp("asked")
    made(folder)
    for name in list(COLOURS)[:3]:
        write_mp4(folder / f"{name}.mp4", np.full((5, SIDE, SIDE, 3), COLOURS[name], np.uint8), 5)
    (folder / "red.txt").write_text("something red\n\na green video\n")
    return folder


@pytest.fixture(scope="module")
def pairs(folder):
    """(task, variables): a network as drawn."""
    task = make_task(recipe(folder, **{"data.query": "A green video!"}))
    return task, nn.unbox(jax.jit(task.init)(jax.random.key(0)))


def test_videos_are_ranked_by_a_sentence_and_scored_with_their_captions(pairs, folder, tmp_path):
    task, variables = pairs
    paths = [folder / f"{name}.mp4" for name in ("red", "green", "blue")]
    written = task.predict_files(variables, paths, tmp_path)
    names = ["red.png", "green.png", "blue.png", "predictions.json", "ranking.html"]
    assert [path.name for path in written if path.name in names] == names
    results = json.loads((tmp_path / "predictions.json").read_text())
    asked = [text["text"] for text in results[str(paths[0])]["texts"]]
    assert asked == ["A green video!", "something red", "a green video"]
    said = results[str(paths[0])]["texts"]
    # Cleaned, the first and the last are one sentence; choices share one.
    assert said[0]["match"] == pytest.approx(said[2]["match"], rel=1e-5)
    assert sum(text["choice"] for text in said) == pytest.approx(
        0.3 + 0.7 * sum(text["match"] for text in said), rel=1e-5
    )
    page = (tmp_path / "ranking.html").read_text()
    assert page.count("<h2>") == 1
    assert page.count("<img") == 3
    found = {str(path): results[str(path)]["texts"][0]["match"] for path in paths}
    places = [page.index(path) for path in sorted(found, key=lambda path: -found[path])]
    assert places == sorted(places)
    assert Image.open(tmp_path / "red.png").size[1] >= 64


def test_scores_are_those_of_the_network_s_answer_to_a_batch(pairs, folder, tmp_path):
    task, variables = pairs
    task.predict_files(variables, [folder / "blue.mp4"], tmp_path)
    said = json.loads((tmp_path / "predictions.json").read_text())
    frames = task.clips(2, training=False).clip(folder / "blue.mp4", np.random.default_rng(0))
    ids, mask = task.pieces.encode(["a green video"], task.config.task.text_length)
    batch = task.prepare({"video": frames[None]}, jax.random.key(0), False)
    answer = task.predict(variables, {**batch, "ids": ids, "mask": mask}, jax.random.key(0))
    for name in ("similarity", "match"):
        found = said[str(folder / "blue.mp4")]["texts"][0][name]
        assert found == pytest.approx(float(answer[name][0]), rel=1e-4)


def test_order_is_by_match_among_the_first_alone():
    similarity, match = np.array([0.1, 0.9, 0.5, 0.4]), np.array([0.9, 0.2, 0.7, 0.8])
    assert predictions.best_first(similarity, match, 2) == [2, 1, 3, 0]
    assert predictions.best_first(similarity, match, 0) == [1, 2, 3, 0]
    assert predictions.best_first(similarity, match, 9) == [0, 3, 2, 1]


def test_questions_are_answered_from_the_list(folder, tmp_path):
    config = with_questions(folder, recipe(folder, "question_answering"))
    (tmp_path / "asked.txt").write_text("what colour?\nwhich video?\n")
    config.data.query = str(tmp_path / "asked.txt")
    task = make_task(config)
    variables = nn.unbox(jax.jit(task.init)(jax.random.key(0)))
    written = task.predict_files(variables, [folder / "green.mp4"], tmp_path)
    assert [path.name for path in written] == ["green.png", "predictions.json"]
    results = json.loads((tmp_path / "predictions.json").read_text())
    said = results[str(folder / "green.mp4")]["texts"]
    assert [text["text"] for text in said] == ["what colour?", "which video?"]
    answers = said[0]["answers"]
    assert len(answers) == task.config.task.reranked
    assert {answer["answer"] for answer in answers} <= set(COLOURS)
    assert sum(answer["probability"] for answer in answers) == pytest.approx(1, rel=1e-4)


def test_what_has_no_words_or_cannot_be_read_is_named(pairs, folder, tmp_path):
    task, variables = pairs
    assert set(SUFFIXES) < set(task.input_suffixes)
    assert ".txt" not in task.input_suffixes
    mute = make_task(recipe(folder))
    with pytest.raises(
        InputError, match=r"blue\.mp4: no words: expected data\.query, or blue\.txt"
    ):
        mute.predict_files(variables, [folder / "blue.mp4"], tmp_path)
    (tmp_path / "torn.mp4").write_bytes(b"no video")
    with pytest.raises(Unanswered, match=r"1 of 2 inputs could not be answered: .*torn\.mp4"):
        task.predict_files(variables, [folder / "blue.mp4", tmp_path / "torn.mp4"], tmp_path)
    (tmp_path / "none.txt").write_text("\n")
    with pytest.raises(InputError, match=r"none\.txt: expected sentences, one a line"):
        predictions.asked_sentences(str(tmp_path / "none.txt"))
