"""Questions and choices as the engine runs them: colours are learnt, what is wrong is refused."""

import json

import jax
import numpy as np
import pytest
from flax import linen as nn
from ml_collections import ConfigDict

from jaxvision.errors import InputError
from jaxvision.methods.umt.task import make_task
from jaxvision.training import loop
from methods.umt.language.small import made, recipe, with_choices, with_questions

STILL = {"language.dropout": 0.0, "language.attention_dropout": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("questions")
    made(folder)
    return folder


def questions(folder, **overrides) -> ConfigDict:
    return with_questions(folder, recipe(folder, "question_answering", **STILL, **overrides))


def choices(folder, **overrides) -> ConfigDict:
    return with_choices(folder, recipe(folder, "multiple_choice", **STILL, **overrides))


def learnt(config, workdir, steps):
    config.train.steps, config.log.every_steps = steps, 20
    config.optim.learning_rate.value = 5e-3
    return loop.train(make_task(config), config, workdir, None, jax.devices()[:1])


@pytest.mark.xdist_group("umt-mesh")
def test_answers_about_colours_are_learnt(folder, tmp_path):
    """Chance is 25 %; one annotator of three says "grey" whatever there is."""
    config = questions(folder)
    results = learnt(config, tmp_path, 200)
    assert results["questions/accuracy"] == 100
    losses = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    assert {"answers", "loss"} <= losses[0].keys()


@pytest.mark.xdist_group("umt-mesh")
def test_the_caption_of_a_video_is_chosen(folder, tmp_path):
    results = learnt(choices(folder), tmp_path, 60)
    assert results["multiple_choice/accuracy"] >= 75
    assert 25 < results["multiple_choice/emb_accuracy"] <= 100


def test_answers_weigh_as_often_as_they_were_given(folder):
    task = make_task(questions(folder))
    source = task.source("train")
    sample = source.transform(source.records[0], np.random.default_rng(0), "questions")
    np.testing.assert_allclose(sample["answer_weights"], [2 / 3, 1 / 3])
    separator, pieces = task.pieces.id("[SEP]"), task.pieces
    first = [pieces.id("[CLS]"), pieces.id("red"), separator]
    np.testing.assert_array_equal(sample["answer_ids"][0], first)
    # The grey video has one answer, and a place without any.
    sample = source.transform(source.records[3], np.random.default_rng(0), "questions")
    np.testing.assert_allclose(sample["answer_weights"], [1, 0])
    assert not sample["answer_mask"][1].any()
    specs = task.batch_specs("train")["questions"]
    assert {name: spec.shape[1:] for name, spec in specs.items()} == {
        name: np.shape(value) for name, value in sample.items()
    }


def test_a_place_without_an_answer_changes_no_loss(folder):
    task = make_task(questions(folder))
    variables = nn.unbox(jax.jit(task.init)(jax.random.key(0)))
    source = task.source("train")
    sample = source.transform(source.records[3], np.random.default_rng(0), "questions")
    batch = {name: np.asarray(value)[None] for name, value in sample.items()}
    other = batch["answer_ids"].copy()
    other[:, 1] = other[:, 0]

    @jax.jit
    def loss(variables, batch):
        rng = jax.random.key(1)
        return task.loss(variables, task.prepare(batch, rng, False), rng, False)[0]

    expected = loss(variables, batch)
    assert expected > 1
    assert loss(variables, {**batch, "answer_ids": other}) == expected


def test_what_is_refused(folder, tmp_path):
    def task_of(**overrides):
        config = questions(folder)
        config.update_from_flattened_dict(overrides)
        return make_task(config)

    with pytest.raises(InputError, match=r"task\.reranked=128 of the 4 answers of .*answers\.json"):
        task_of(**{"task.reranked": 128}).evaluations()
    with pytest.raises(InputError, match=r"data\.answers: expected a JSON list of answers"):
        task_of(**{"data.answers": ""}).evaluations()
    with pytest.raises(InputError, match=r"data\.train: expected questions with their answers"):
        task_of(**{"data.train": ""}).source("train")
    bare = [{"video": "video_0_0.png", "question": "what?"}]
    (tmp_path / "bare.json").write_text(json.dumps(bare))
    unanswered = {"data.train": str(tmp_path / "bare.json")}
    with pytest.raises(InputError, match=r'bare\.json: record 0: expected an "answer" to learn'):
        task_of(**unanswered).source("train")
    unanswered = {"data.validation": str(tmp_path / "bare.json")}
    with pytest.raises(InputError, match=r"bare\.json: no record has an answer"):
        task_of(**unanswered).evaluations()
    (tmp_path / "broken.json").write_text('[{"video": ')
    with pytest.raises(InputError, match=r"broken\.json: not JSON"):
        task_of(**{"data.train": str(tmp_path / "broken.json")}).source("train")
    wrong = [{"video": "a.png", "caption": ["one", "two"], "answer": 2}]
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    config = choices(folder)
    config.data.validation = str(tmp_path / "wrong.json")
    with pytest.raises(InputError, match=r"wrong\.json: record 0: answer 2 of 2 options"):
        make_task(config).evaluations()
