"""STMixer as the engine sees it: a small network on made-up figures, in training and answering."""

import json

import jax
import numpy as np
import pytest

import media
from jaxvision.data.actions import pixel_boxes
from jaxvision.data.actions.json_files import Image, read_detected
from jaxvision.data.conversions import collecting
from jaxvision.methods.stmixer import evaluation
from jaxvision.registry import load_config, make_task
from jaxvision.weights.mapping import flatten

SMALL = (
    *("model.frames=4", "model.temporal_points=2", "model.image_size=32"),
    *("model.width=32", "model.heads=2", "model.layers=1", "model.query_width=32"),
    *("model.queries=5", "model.hidden=32", "model.spatial_points=4"),
    *("data.height=64", "data.width=96", "data.train=8", "data.validation=6"),
    *("task.short_sides=(32,)", "task.test_short_side=32", "train.batch_size=2"),
    *("task.evaluation_batch=2", "task.fallback=3"),
)


@pytest.fixture(scope="module")
def task():
    return make_task(load_config("stmixer/demo", SMALL))


@pytest.fixture(scope="module")
def variables(task):
    from flax import linen as nn

    return nn.unbox(jax.jit(task.init)(jax.random.key(0)))


@pytest.fixture(scope="module")
def batch(task):
    ((name, source),) = task.source("train").items()
    rng = np.random.default_rng(0)
    samples = [source.transform(source.records[n], rng, name) for n in range(source.batch_size)]
    batch = source.collate(samples, name)
    for field, spec in task.batch_specs("train")[name].items():
        assert batch[field].shape == spec.shape, field
    return batch


def test_every_parameter_learns_and_only_the_frame_counts(task, variables, batch):
    @jax.jit
    def run(params, batch):
        def loss(params):
            prepared = task.prepare(batch, jax.random.key(1), True)
            whole = {**variables, "params": params}
            value, aux = task.loss(whole, prepared, jax.random.key(1), True)
            return value, aux.metrics

        return jax.value_and_grad(loss, has_aux=True)(params)

    # A zero layer hides all behind it from the gradient.
    params = jax.tree.map(
        lambda x: x + 0.02 * np.random.default_rng(2).standard_normal(x.shape).astype(np.float32),
        variables["params"],
    )
    (value, metrics), gradients = run(params, batch)
    assert np.isfinite(value)
    assert set(metrics) >= {"person", "action", "l1", "giou", "people_left_out"}
    silent = [path for path, g in flatten(gradients).items() if not np.abs(g).max() > 0]
    assert not silent
    other = {**batch, "video": batch["video"].copy()}
    width = int(batch["size"][0, 0])
    other["video"][:, :, :, width:] = 255
    assert run(params, other)[0][0] == value


def test_a_run_without_people_learns_nothing(task, batch):
    assert task.supervised(batch) == batch["exists"].sum() > 0
    assert task.supervised({**batch, "exists": np.zeros_like(batch["exists"])}) == 0


def test_the_key_frame_alone_is_seen_where_it_is_asked(task):
    still = make_task(load_config("stmixer/demo", [*SMALL, "task.still=True"]))
    moving, held = (
        next(iter(each.evaluations()["key_frames"].source.values())) for each in (task, still)
    )
    (name,) = task.evaluations()["key_frames"].batch_specs
    record = moving.records[0]
    seen, shown = (
        each.transform(record, np.random.default_rng(0), name)["video"] for each in (held, moving)
    )
    assert (shown[0] != shown[2]).any()
    np.testing.assert_array_equal(seen, np.broadcast_to(shown[2], shown.shape))


@pytest.mark.parametrize(("boxes", "expected"), [("predicted", 100.0), ("frame", None)])
def test_right_answers_score_all_and_whole_frames_less(boxes, expected):
    task = make_task(load_config("stmixer/demo", [*SMALL, f"task.boxes={boxes}"]))
    protocol = task.evaluations()["key_frames"]
    total = None
    for name, source in protocol.source.items():
        for record in range(len(source.records)):
            clip = source.records[record]
            people = len(clip.boxes)
            shares = pixel_boxes.shares(clip.boxes, (96, 64))
            found = {
                "person": np.ones((1, people)),
                "action": clip.actions[None] * 0.9 + 0.05,
                "boxes": shares[None],
            }
            total = protocol.accumulate(total, found, np.array([record]), name)
    results = protocol.finish(total, {})
    if expected is None:
        assert results["map"] < 90
    else:
        assert results["map"] == pytest.approx(expected)
    assert results["frames_without_detections"] == 0
    assert isinstance(protocol, evaluation.Evaluation)


def test_predict_writes_a_film_a_picture_and_lists(task, variables, batch, tmp_path):
    film = tmp_path / "people.mp4"
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (12, 64, 96, 3), np.uint8)
    media.video(film, list(frames), rate=6, sound_tracks=1)
    outdir = tmp_path / "out"
    outdir.mkdir()
    with collecting() as notes:
        written = task.predict_files(variables, [film], outdir)
    assert {note.kind for note in notes} == {"sound dropped"}
    names = {path.name for path in written}
    assert names == {"people.mp4", "people.png", "people.json", "people_people.json", "people.csv"}
    moments = json.loads((outdir / "people.json").read_text())
    assert len(moments) == 2  # one a second
    assert set(moments[0]["people"][0]["actions"]) == set(task.class_names)
    images = {number: Image("people", number, 96, 64) for number in range(2)}
    people, _ = read_detected(outdir / "people_people.json", images)
    assert sum(len(p.boxes) for p in people.values()) == sum(len(m["people"]) for m in moments)
    rows = (outdir / "people.csv").read_text().splitlines()
    assert len(rows) == 5 * sum(len(m["people"]) for m in moments)
    prepared = task.prepare(batch, jax.random.key(0), False)
    outputs = jax.device_get(jax.jit(task.predict)(variables, prepared, jax.random.key(0)))
    picture = task.render(batch, outputs)["people"]
    assert picture.dtype == np.uint8
    assert picture.shape[:2] == (32, 48)
