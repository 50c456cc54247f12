"""CycleACR's task: a film's memory, training, evaluation in two stages."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.data.actions.film_figures import FilmFigures
from jaxvision.errors import InputError
from jaxvision.methods.cycleacr.memory import Memory, read_window
from jaxvision.registry import load_config, make_task
from jaxvision.training import loop
from jaxvision.training.checkpoint import Checkpoints
from jaxvision.training.run import prepare_run
from jaxvision.training.task import KeptOutputs
from jaxvision.viz.files import write_mp4
from jaxvision.weights.mapping import flatten

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
    assert first["features"].shape == (256, 1, 16), "16 and some that stay empty"
    np.testing.assert_array_equal(first["people"], np.arange(256) < 16)
    assert np.abs(first["features"][:16]).max(axis=(1, 2)).min() > 0
    assert not first["features"][16:].any()
    # Steps 3 and 4 wrote every row anew, with their own losses as tags.
    before, after = (set(np.unique(bank["tag"][:16])) for bank in (first, last))
    assert (len(before), len(after), len(before & after)) == (2, 2, 0)
    assert last["current"] in last["tag"]


def copy_of(workdir, folder):
    """As it was after step 2."""
    shutil.copytree(workdir, folder)
    shutil.rmtree(Checkpoints(folder).path(4))
    return folder


def test_a_resumed_run_ends_bit_for_bit_as_one_that_was_not_stopped(config, workdir, tmp_path):
    again = copy_of(workdir, tmp_path / "again")
    loop.train(make_task(config), config, again, None, jax.devices()[:1])
    whole, resumed = (flatten(Checkpoints(f).read_variables(4)) for f in (workdir, again))
    assert {"memory/bank/features", "memory/bank/current"} < whole.keys() == resumed.keys()
    for path, value in whole.items():
        np.testing.assert_array_equal(resumed[path], value, err_msg=path)


def test_a_memory_of_other_films_is_refused_at_resume(workdir, tmp_path):
    again = copy_of(workdir, tmp_path / "again")
    (again / "config.json").unlink()  # which would have refused other settings before
    other = load_config("cycleacr/demo", (*SMALL, "data.train=8", "data.seconds=2"))
    with pytest.raises(InputError, match=r"data\.train: the checkpoint's memory is of other"):
        loop.train(make_task(other), other, again, None, jax.devices()[:1])


def test_another_mesh_sees_the_same_rows_and_may_forget_the_last_loss(workdir):
    config = load_config("cycleacr/demo", (*SMALL, "mesh.data=2", "task.forget_loss=True"))
    run = prepare_run(make_task(config), config, jax.devices()[:2])
    kept = Checkpoints(workdir).read_variables(4)["memory"]["bank"]
    restored = Checkpoints(workdir).restore(4, run.target)
    bank = restored.collections["memory"]["bank"]
    assert bank["features"].sharding.shard_shape((256, 1, 16)) == (128, 1, 16)
    for name, value in kept.items():
        np.testing.assert_array_equal(bank[name], value, err_msg=name)
    rows = np.array([[0, 15, -1, 130], [3, 4, 5, 6]])
    windows = [
        read_window(Memory(*(each[name] for name in Memory._fields)), rows, 1)
        for each in (kept, bank)
    ]
    np.testing.assert_array_equal(*windows)
    assert np.abs(windows[0][0, :2]).min() > 0
    forgotten = run.resumed(restored).collections["memory"]["bank"]
    assert (float(bank["current"]) > 0, float(forgotten["current"])) == (True, 0.0)
    np.testing.assert_array_equal(forgotten["tag"], bank["tag"])


def test_evaluation_counts_what_other_seconds_tell(workdir):
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").open()]
    results = {name: value for row in rows for name, value in row.items()}
    assert 0 <= results["evaluate/key_frames/map"] <= 100
    assert results["evaluate/key_frames/people_per_second"] == 1
    assert {"evaluate/key_frames/ap_after red", "evaluate/key_frames/ap_after blue"} <= set(results)
    assert "evaluate/key_frames/ap_red" not in results, "a picture tells it"


def test_evaluation_may_draw_whom_it_reads_as_published(config, workdir):
    variables = Checkpoints(workdir).read_variables(4, without=("memory",))
    rng = np.random.default_rng(0)
    table = {name: rng.standard_normal((4, 3, 16)).astype(np.float32) for name in ("roi", "actor")}
    table |= {"exists": np.ones((4, 3), bool), "scores": np.ones((4, 3), np.float32)}
    table["shares"] = np.zeros((4, 3, 4), np.float32)
    kept = [KeptOutputs({name: jnp.asarray(each) for name, each in table.items()}, 4)]
    moments = [[("a", second) for second in range(4)]]

    def scores(draw):
        stage = make_task(config).second_stage._replace(draw=draw, batch=4)
        return np.stack([each for _, _, each in stage.run(variables, kept, moments)])

    first, drawn = scores(None), scores(1)
    assert not np.allclose(first, drawn), "a slot for one of three people"
    np.testing.assert_array_equal(drawn, scores(1))
    drawing = load_config("cycleacr/demo", (*SMALL, "task.random_slots=True"))
    assert make_task(drawing).second_stage.draw == drawing.seed


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
        assert [each["person"] for each in entry["told_by"]] == [0, 0]
        assert 0 < sum(each["share"] for each in entry["told_by"]) <= 1
    (tmp_path / "film_people.json").write_text(json.dumps([{**people[0], "image_id": 3}]))
    with pytest.raises(InputError, match=r"film_people\.json: a box of image 3"):
        task.predict_files(variables, [film], out)
