"""What classification tasks share: soft labels, grouped views, answers to files."""

import csv
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxvision.data.source import Source
from jaxvision.errors import InputError
from jaxvision.metrics.multi_view import confusion_of_views
from jaxvision.ops.cross_entropy import smooth_one_hot, soft_cross_entropy
from jaxvision.tasks import classification, label_prediction
from jaxvision.viz.confusion_table import CELL, MARGIN, NAMED, confusion_table

NAMES = ("cat", "dog", "owl")
PLAIN = classification.Softening(
    groups=1, label_smoothing=0.1, erase_probability=0.0, mixup_alpha=0.0, cutmix_alpha=0.0
)


def config(**changes):
    task = {
        "label_smoothing": 0.1,
        "erase_probability": 0.25,
        "mixup_alpha": 0.8,
        "cutmix_alpha": 1.0,
        **changes,
    }
    train = {"batch_size": 6, "accumulate": 1, "draw_groups": 3}
    return ConfigDict({"task": task, "train": train})


def test_softening_comes_from_the_recipe():
    softening = classification.Softening.of(config(mix_switch=0.25, scale=(0.1, 1.0)))
    assert (softening.groups, softening.mix_switch, softening.mix_probability) == (3, 0.25, 1.0)
    assert softening.mixes
    assert not PLAIN.mixes


def test_rows_count_the_crops_and_pairs_need_even_groups():
    assert classification.rows(config()) == 6
    assert classification.rows(config(crops_per_clip=2)) == 12
    odd = config()
    odd.train.batch_size = 9
    with pytest.raises(InputError, match="draw_groups=3 makes groups of 3 samples"):
        classification.rows(odd)
    odd.task.update({"mixup_alpha": 0.0, "cutmix_alpha": 0.0})
    assert classification.rows(odd) == 9


@pytest.mark.parametrize("between", [(), (2,)])
def test_pictures_and_clips_are_softened_alike(between):
    batch = {"label": jnp.arange(4) % 3}
    pixels = jax.random.normal(jax.random.key(0), (4, *between, 16, 16, 3))
    plain = classification.soften(batch, pixels, jax.random.key(1), PLAIN, 3)
    np.testing.assert_array_equal(plain["input"], pixels)
    np.testing.assert_array_equal(plain["target"], smooth_one_hot(batch["label"], 3, 0.1))
    hard = classification.Softening.of(config(erase_probability=1.0))
    batch, pixels = {"label": jnp.zeros(6, int)}, jnp.ones((6, *between, 16, 16, 3))
    soft = classification.soften(batch, pixels, jax.random.key(1), hard, 3)
    changed = np.asarray(soft["input"] != 1).reshape(6, -1).mean(axis=1)
    assert (changed > 0).all()
    np.testing.assert_allclose(soft["target"].sum(-1), 1, rtol=1e-6)


def test_the_loss_is_the_mean_and_reports_its_sum():
    logits = jax.random.normal(jax.random.key(0), (5, 3))
    target = jax.nn.softmax(jax.random.normal(jax.random.key(1), (5, 3)))
    value, aux = classification.loss(logits, target)
    total, weight = aux.metrics["cross_entropy"]
    np.testing.assert_allclose(value, np.mean(soft_cross_entropy(logits, target)), rtol=1e-6)
    np.testing.assert_allclose(total / weight, value, rtol=1e-6)


def test_an_evaluation_merges_views_and_draws_the_confusions():
    made = classification.evaluation(
        Source([], 4), {}, lambda variables, batch: variables * batch["input"], NAMES
    )
    # Video 0 (an owl) has two views that disagree, the surer one right; video 1 is wrong.
    batch = {
        "input": jnp.array([[0.0, 0.5, 0.0], [0.0, 0.0, 4.0], [3.0, 0.0, 0.0]]),
        "label": jnp.array([2, 2, 1]),
        "index": jnp.arange(3),
        "number": jnp.array([0, 0, 1]),
        "view": jnp.array([0, 1, 0]),
    }
    outputs = jax.device_get(made.outputs(jnp.float32(1), batch, jax.random.key(0)))
    total = made.accumulate(None, outputs, np.arange(3), "clips")
    assert made.finish(total, None) == {"top1": 0.5, "top5": 1.0}
    np.testing.assert_array_equal(confusion_of_views(total), [[0, 0, 0], [1, 0, 0], [0, 0, 1]])
    picture = made.render(total)["confusion"]
    assert picture.shape == (MARGIN + 3 * CELL,) * 2 + (3,)
    # Without numbers and views every record stands for itself.
    alone = {name: value for name, value in batch.items() if name not in ("number", "view")}
    outputs = made.outputs(jnp.float32(1), alone, jax.random.key(0))
    np.testing.assert_array_equal(outputs["video"], alone["index"])
    with pytest.raises(InputError, match=r"task\.merge 'mean': expected one of prob, score"):
        classification.evaluation(Source([], 4), {}, lambda v, b: v, NAMES, merge="mean")


def test_confusions_of_many_classes_have_no_text():
    counts = np.eye(NAMED + 1, dtype=int)
    picture = confusion_table(counts, [""] * len(counts))
    cell = picture.shape[0] // len(counts)
    np.testing.assert_array_equal(picture[::cell, ::cell, 0], 255 * counts)


def test_files_are_answered_with_tables_and_pictures(tmp_path):
    paths = [tmp_path / "a" / "x.png", tmp_path / "b" / "x.png"]
    drawn = []

    def answer(path):
        scores = np.array([0.2, 0.7, 0.1] if path.parent.name == "a" else [0.1, 0.1, 0.8])
        return scores, lambda label: drawn.append(label) or np.zeros((4, 4, 3), np.uint8)

    written = label_prediction.predict_files(answer, NAMES, paths, tmp_path, "_seen")
    assert drawn == ["dog", "owl"]
    names = [path.name for path in written]
    assert names == ["x_seen.png", "x_2_seen.png", "predictions.json", "predictions.csv"]
    assert all(path.is_file() for path in written)
    found = json.loads((tmp_path / "predictions.json").read_text())
    assert [row["class"] for row in found[str(paths[0])]] == ["dog", "cat", "owl"]
    assert {row["picture"] for row in found[str(paths[1])]} == {"x_2_seen.png"}
    rows = list(csv.reader((tmp_path / "predictions.csv").open()))
    assert rows[0] == ["file", "rank", "class", "probability", "picture"]
    assert rows[4] == [str(paths[1]), "1", "owl", "0.800000", "x_2_seen.png"]


class FourPictures:
    """Grey as their number; the second has no label, the last cannot be read."""

    labels = (0, -1, 2, 1)

    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index == 3:
            raise InputError("the fourth is damaged")
        return {"picture": np.full((8, 8, 3), 50 * index, np.uint8), "label": self.labels[index]}

    def name(self, index):
        return f"picture {index}"


@pytest.mark.parametrize("merge", ["prob", "score"])
def test_an_evaluation_says_what_was_said_of_every_record(merge):
    made = classification.evaluation(Source(FourPictures(), 4), {}, None, NAMES, merge=merge)
    shares = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.5, 0.3, 0.2], [0.6, 0.3, 0.1]])
    labels = np.array(FourPictures.labels)
    outputs = {"logits": np.log(shares), "label": labels, "video": np.arange(4), "view": labels * 0}
    total = made.accumulate(None, outputs, np.arange(4), "")
    tables = made.tables(total)
    columns = ("record", "class", "probability", "label", "label_probability", "rank")
    found = [tuple(row[column] for column in columns) for row in tables["answers"]]
    near = pytest.approx
    assert found == [
        ("picture 0", "cat", near(0.7), "cat", near(0.7), 1),
        ("picture 1", "owl", near(0.8), "", "", ""),
        ("picture 2", "cat", near(0.5), "owl", near(0.2), 3),
        ("picture 3", "cat", near(0.6), "dog", near(0.3), 2),
    ]
    cat, dog, owl = tables["classes"]
    assert (cat["records"], cat["recall"], cat["precision"]) == (1, 1, near(1 / 3))
    assert (cat["most_taken_for"], cat["times"]) == ("", 0)
    assert (dog["recall"], dog["precision"], dog["most_taken_for"]) == (0, "", "cat")
    assert (owl["records"], owl["most_taken_for"], owl["times"]) == (1, "cat", 1)
    # The third is worst, the damaged one is left out, the first is right.
    worst = made.worst(total)["worst"]
    assert [int(worst[row, -20].max()) for row in (30, 96)] == [100, 0]
