"""STMixer's parts: chosen people, buckets, samples, losses of groups, settings that do not fit."""

from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.data.actions.act_files import ActionTubes
from jaxvision.data.actions.key_frames import tube_key_frames
from jaxvision.data.actions.moving_figures import MovingFigures
from jaxvision.errors import InputError
from jaxvision.methods.stmixer import inputs, objective
from jaxvision.methods.stmixer.decoder import Answers
from jaxvision.methods.stmixer.detections import Choice, People, choose
from jaxvision.methods.stmixer.evaluation import tube_results
from jaxvision.methods.stmixer.pretrained import official_model, preprocess, published, recognise
from jaxvision.methods.stmixer.task import parameter_group
from jaxvision.methods.stmixer.variants import VARIANTS, build, model_table
from jaxvision.registry import load_config
from jaxvision.training.loss_groups import mean_over_groups


def queries(person, boxes=None):
    person = np.array(person, np.float32)
    boxes = np.tile([0, 0, 1, 1.0], (len(person), 1)) if boxes is None else np.array(boxes)
    return People(person, np.arange(len(person))[:, None], boxes)


def test_people_are_those_over_the_threshold_in_the_queries_order():
    chosen = choose(queries([0.7, 0.1, 0.9]), Choice())
    assert chosen.action[:, 0].tolist() == [0, 2]


def test_of_an_empty_frame_the_likeliest_are_answered_unless_told_otherwise():
    found = queries([0.1, 0.3, 0.2, 0.3])
    assert choose(found, Choice()).action[:, 0].tolist() == [1, 3, 2]
    assert len(choose(found, Choice(fallback=0)).boxes) == 0


def test_of_boxes_that_overlap_the_likelier_stays():
    boxes = [[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.52], [0.6, 0.6, 1, 1]]
    found = queries([0.7, 0.9, 0.8], boxes)
    assert choose(found, Choice(overlap=0.5)).action[:, 0].tolist() == [1, 2]
    assert len(choose(found, Choice()).boxes) == 3


def test_every_clip_is_in_a_bucket_of_each_side_and_rare_sizes_are_padded_up():
    sizes = [(240, 320)] * 10 + [(240, 426)] * 8 + [(320, 240)] + [(240, 330)]
    found = inputs.buckets_of(sizes, (64, 96), most=4, least=2)
    for side in (64, 96):
        rows = [row for b, of in found.items() if b.side == side for row in of.numbers]
        assert sorted(rows) == list(range(len(sizes)))
    assert len(found) <= 4
    for bucket, of in found.items():
        assert bucket.height % 32 == bucket.width % 32 == 0
        for row in of.numbers:
            height, width = inputs.clip_frames.rounded_size(*sizes[row], bucket.side)
            assert height <= bucket.height
            assert width <= bucket.width
    assert sum(of.padded_up for of in found.values()) > 0
    roomy = inputs.buckets_of(sizes, (64,), most=8)
    assert sum(of.padded_up for of in roomy.values()) == 0


def test_a_sample_is_padded_and_its_people_fit_or_are_counted():
    records = MovingFigures(count=4, seed=1, frames=4, height=48, width=80, most=3)
    record = next(records[n] for n in range(4) if len(records[n].boxes) > 1)
    bucket = inputs.Bucket(48, 64, 96)
    transform = inputs.ClipTransform(
        frames=4, stride=1, people=1, classes=5, flip=False, buckets={bucket.name: bucket}
    )
    sample = transform(record, np.random.default_rng(0), bucket.name)
    for name, spec in transform.specs(bucket, 1).items():
        assert sample[name].shape == spec.shape[1:], name
        assert sample[name].dtype == spec.dtype, name
    assert not sample["video"][:, 48:].any()
    np.testing.assert_array_equal(sample["video"][:, :48, :80], record.frames)
    assert sample["size"].tolist() == [80, 48, 80, 48]
    assert sample["beyond"] == len(record.boxes) - 1
    np.testing.assert_allclose(sample["boxes"][0], record.boxes[0], atol=1.01)


def test_a_mirrored_clip_has_mirrored_boxes():
    record = MovingFigures(count=1, seed=3, frames=2, height=64, width=96)[0]
    bucket = inputs.Bucket(64, 64, 96)
    transform = inputs.ClipTransform(
        frames=2, stride=1, people=4, classes=5, flip=True, buckets={bucket.name: bucket}
    )
    samples = [transform(record, np.random.default_rng(n), bucket.name) for n in range(8)]
    videos = {sample["video"].tobytes(): sample for sample in samples}
    assert len(videos) == 2
    first, second = videos.values()
    np.testing.assert_array_equal(first["video"], second["video"][:, :, ::-1])
    exists = first["exists"]
    np.testing.assert_allclose(
        first["boxes"][exists][:, [0, 2]], 95 - second["boxes"][exists][:, [2, 0]], atol=1e-4
    )


def test_the_loss_of_groups_is_that_of_processes():
    rng = np.random.default_rng(0)

    def normal(*shape):
        return jnp.asarray(rng.standard_normal(shape), jnp.float32)

    low = rng.uniform(0, 40, (2, 4, 5, 2))
    boxes = jnp.asarray(np.concatenate([low, low + rng.uniform(5, 20, low.shape)], -1), jnp.float32)
    answers = Answers(normal(2, 4, 5, 2), normal(2, 4, 5, 3), boxes)
    exists = jnp.asarray([[1, 1], [1, 0], [0, 0], [1, 1]], bool)
    actions = jnp.asarray(rng.random((4, 2, 3)) < 0.5, jnp.float32)
    truth = objective.Truth(boxes[0, :, :2] + 3, actions, exists, jnp.full((4, 4), 64.0))
    people, weights = jnp.sum(exists) / 2, objective.Weights()

    def of_group(by_clip, truth):
        answers = Answers(*(jnp.moveaxis(each, 0, 1) for each in by_clip))
        return objective.detection_loss(answers, truth, weights, people)

    by_clip = Answers(*(jnp.moveaxis(each, 1, 0) for each in answers))
    run = jax.jit(lambda a, t: mean_over_groups(of_group, 2, a, t))
    total, parts = run(by_clip, truth)
    halves = [
        objective.detection_loss(
            Answers(*(each[:, part] for each in answers)),
            objective.Truth(*(each[part] for each in truth)),
            weights,
            people,
        )
        for part in (slice(0, 2), slice(2, 4))
    ]
    np.testing.assert_allclose(total, np.mean([half[0] for half in halves]), rtol=1e-5)
    np.testing.assert_allclose(parts.giou, (halves[0][1].giou + halves[1][1].giou) / 2, rtol=1e-5)


def test_right_people_of_tubes_score_all_by_the_rules_of_tubes():
    frames = np.arange(1, 21)
    box = np.array([10.0, 8, 29, 39])
    tube = np.column_stack([frames, np.tile(box, (20, 1))]).astype(np.float32)
    truth = ActionTubes(
        labels=("run", "jump"),
        train=((),),
        test=(("a",),),
        frames={"a": 20},
        resolution={"a": (48, 64)},
        tubes={"a": {0: (tube,), 1: ()}},
    )
    records = tube_key_frames(truth, ["a"], Path(), "{:05}.jpg")
    found = {
        number: People(np.ones(1), np.array([[0.9, 0.1]]), item.boxes)
        for number, item in enumerate(records.items)
    }
    results = tube_results(truth, ["a"], records.items)(found)
    # The second label has no truth, which counts as 0.
    assert results == pytest.approx(
        {"frame_map": 50, "video_map_0.2": 50, "video_map_0.5": 50, "video_map_0.5_to_0.95": 50}
    )
    late = {number: people._replace(boxes=people.boxes + 0.2) for number, people in found.items()}
    assert tube_results(truth, ["a"], records.items)(late)["frame_map"] < 50


def test_boxes_without_area_have_finite_losses_and_gradients():
    answers = Answers(jnp.zeros((1, 1, 3, 2)), jnp.zeros((1, 1, 3, 4)), jnp.zeros((1, 1, 3, 4)))
    truth = objective.Truth(
        jnp.array([[[1.0, 2, 5, 9], [0, 0, 1, 1]]]),
        jnp.zeros((1, 2, 4)),
        jnp.array([[True, False]]),
        jnp.full((1, 4), 32.0),
    )

    def loss(answers):
        return objective.detection_loss(answers, truth, objective.Weights(), jnp.float32(1))[0]

    value, gradient = jax.jit(jax.value_and_grad(loss))(answers)
    assert np.isfinite(value)
    assert all(np.isfinite(part).all() for part in gradient)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "slowfas"}, "did you mean 'slowfast'"),
        ({"temporal_points": 4}, "expected model.temporal_points=8"),
        ({"backbone": "vit", "frames": 15}, "expected an even number"),
        ({"non_local": "maximum"}, "known: mean, none, softmax"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        build(model_table() | changes, 80, "float32")


def test_frames_under_32_pixels_are_refused():
    film = SimpleNamespace(
        name="short", frames=lambda numbers: np.zeros((len(numbers), 31, 64, 3), np.uint8)
    )
    with pytest.raises(InputError, match="short: frames of 64 x 31; expected sides of at least 32"):
        inputs.frame_sizes([SimpleNamespace(film=film)])


def test_decay_leaves_out_what_the_paper_leaves_out():
    decay = {
        "backbone/network/slow_stem/norm/scale": 0,
        "backbone/network/slow_stem/conv/kernel": 1,
        "backbone/encoder/stack/blocks/attention/query_bias": 0,
        "backbone/encoder/stack/blocks/mlp/up/kernel": 1,
        "decoder/stages/box/out/bias": 1,
        "space/level_0/bias": 1,
    }
    assert {path: parameter_group(path).decay for path in decay} == decay


# Tensors of each official file, of which one is a constant of the loss.
TENSORS = {"slowonly_r50_k400": 671, "slowfast_r50_k400": 1013, "slowfast_r101_nl_k600": 1664}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_published_file_is_known_by_its_tensors(name):
    entries = official_model(name).entries
    assert len(entries) == TENSORS.get(name, 529)
    assert len({entry.name for entry in entries}) == len(entries)
    tensors = {e.name: np.broadcast_to(np.float32(0), e.shape) for e in entries}
    found = recognise(tensors)
    assert found is not None
    assert [e.name for e in found.entries] == list(tensors)
    assert recognise({"a": np.zeros(1)}) is None
    assert f"stmixer/{name}" in [row["network"] for row in published()]


def test_preprocessing_pads_to_whole_cells():
    clip, size = preprocess(np.zeros((9, 90, 120, 3), np.uint8), frames=4, stride=2)
    assert clip.shape == (1, 4, 256, 352, 3)
    assert size.tolist() == [[341, 256, 341, 256]]
    assert clip[0, 0, 0, 0, 0] == pytest.approx(-2)
    assert not clip[..., 341:, :].any()
    with pytest.raises(InputError, match="expected uint8"):
        preprocess(np.zeros((9, 90, 120, 3)), frames=4, stride=2)


def test_seconds_that_meet_no_film_are_counted_and_refused_where_all_do(tmp_path):
    row = "{},{},0.1,0.1,0.5,0.9,1,0\n"
    (tmp_path / "people.csv").write_text("".join(map(row.format, "aab", (902, 10, 903))))
    (tmp_path / "strangers.csv").write_text(row.format("c", 902))
    (tmp_path / "films.csv").write_text(
        "original_vido_id video_id frame_id path labels\n"
        + "".join(f'{name} 0 0 {name}.jpg ""\n' for name in "ad")
    )

    def records(file):
        files = {"train": tmp_path / file, "train_frames": tmp_path / "films.csv"}
        settings = [f"data.{key}={value}" for key, value in files.items()]
        return inputs.records_of(load_config("stmixer/ava_vit_b_k400", settings), "train", ())

    found = records("people.csv")
    buckets = inputs.buckets_of([(90, 120)], (64,), most=1)
    (bucket,) = inputs.records_by_bucket(found, buckets).values()
    assert bucket.summary().endswith(
        "left out: 1 annotated seconds of films without frames, 1 films without annotated "
        "seconds, 1 rows of seconds that AVA does not annotate"
    )
    with pytest.raises(
        InputError, match=r"strangers\.csv: no annotated second of a film that data"
    ):
        records("strangers.csv")
