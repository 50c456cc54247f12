"""CycleACR's task: a film's memory, training, evaluation in two stages."""

import json

import jax
import numpy as np
import pytest

from jaxvision.data.actions.film_figures import FilmFigures
from jaxvision.errors import InputError
from jaxvision.registry import load_config, make_task
from jaxvision.training import loop
from jaxvision.training.checkpoint import Checkpoints
from jaxvision.viz.files import write_mp4

SMALL = (
    "data.train=4",
    "data.validation=2",
    "data.seconds=4",
    "train.batch_size=8",
    "train.steps=4",
    "model.layers=1",
    "model.width=16",
    "model.head_width=16",
    "model.hidden=16",
    "task.evaluation_batch=8",
    "log.every_steps=2",
    "checkpoint.every_steps=2",
    "checkpoint.keep=2",
    "data.workers=0",
)


@pytest.fixture(scope="module")
def config():
    return load_config("cycleacr/demo", SMALL)


@pytest.fixture(scope="module")
def workdir(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    loop.train(make_task(config), config, folder, None, jax.devices()[:1])
    return folder


def test_training_fills_the_memory(config, workdir):
    checkpoints = Checkpoints(workdir)
    first, last = (checkpoints.read_variables(step)["memory"]["bank"] for step in (2, 4))
    # 16 seconds, 8 a step: two steps see all of them.
    assert first["features"].shape == (16, 1, 16)
    np.testing.assert_array_equal(first["people"], 1)
    assert np.abs(first["features"]).max(axis=(1, 2)).min() > 0
    # Steps 3 and 4 wrote every row anew, with their own losses as tags.
    assert (np.unique(first["tag"]).size, np.unique(last["tag"]).size) == (2, 2)
    assert not set(np.unique(first["tag"])) & set(np.unique(last["tag"]))
    assert last["current"] in last["tag"]


def test_evaluation_counts_every_action(workdir):
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").open()]
    results = {name: value for row in rows for name, value in row.items()}
    assert 0 <= results["evaluate/key_frames/map"] <= 100
    assert results["evaluate/key_frames/people_per_second"] == 1
    assert {"evaluate/key_frames/ap_red", "evaluate/key_frames/ap_after blue"} <= results.keys()


def test_predict_answers_films_and_says_what_it_was_told_by(config, workdir, tmp_path):
    film, out = tmp_path / "film.mp4", tmp_path / "out"
    frames = np.concatenate([FilmFigures(films=1, seconds=3, seed=0)[i].clip for i in range(3)])
    write_mp4(film, frames, 4)
    people = [{"image_id": n, "bbox": [4, 4, 12, 12], "score": 0.9} for n in (0, 2)]
    (tmp_path / "film_people.json").write_text(json.dumps(people))
    task = make_task(config)
    variables = Checkpoints(workdir).read_variables(4, without=("memory",))
    out.mkdir()
    written = task.predict_files(variables, [film], out)
    names = {path.name for path in written}
    assert {"film.mp4", "film.png", "film.json", "film_memory.json", "film_memory.png"} <= names
    found = json.loads((out / "film.json").read_text())
    assert [len(moment["people"]) for moment in found] == [1, 0, 1]
    assert set(found[0]["people"][0]["actions"]) == set(task.class_names)
    told = json.loads((out / "film_memory.json").read_text())
    assert [entry["time"] for entry in told] == [found[0]["time"], found[2]["time"]]
    for entry in told:
        assert [each["time"] for each in entry["told_by"]] == [found[0]["time"], found[2]["time"]]
        assert 0 < sum(each["share"] for each in entry["told_by"]) <= 1
    (tmp_path / "film_people.json").write_text(json.dumps([{**people[0], "image_id": 3}]))
    with pytest.raises(InputError, match=r"film_people\.json: a box of image 3"):
        task.predict_files(variables, [film], out)
