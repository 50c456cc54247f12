"""The planner through the engine: training, evaluation, chains, draws, files."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxvision.errors import InputError
from jaxvision.loading import load_run, read_weights
from jaxvision.methods.pdpp import inputs
from jaxvision.registry import make_task
from jaxvision.training.evaluation import Evaluator
from jaxvision.training.loop import train
from jaxvision.training.mesh import make_mesh
from jaxvision.training.state import unboxed_init
from jaxvision.weights.mapping import flatten
from methods.pdpp.small_planner import small_config


def variables_of(task):
    """Fresh variables, shaken so that no convolution is zero."""
    fresh = jax.jit(lambda: unboxed_init(task, jax.random.key(0)))()
    keys = iter(jax.random.split(jax.random.key(1), len(jax.tree.leaves(fresh))))
    return jax.tree.map(lambda x: x + 0.1 * jax.random.normal(next(keys), x.shape), fresh)


def batch_of(config, rows) -> dict:
    test, _ = inputs.windows_of(config, "test")
    records = [{**test[row], "index": np.int32(row)} for row in rows]
    return {name: np.stack([r[name] for r in records]) for name in records[0]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A classifier's run, and a planner's that starts from it and keeps it."""
    folder = tmp_path_factory.mktemp("runs")
    overrides = {"checkpoint.every_steps": 4, "evaluate.weights": "raw"}
    first = small_config(**{"task.name": "classifier", **overrides})
    tasks = train(make_task(first), first, folder / "classifier", read_weights)
    link = ({"from": str(folder / "classifier"), "to": ""},)
    chained = {"task.classifier": "frozen", "init": link, "task.uncertainty_samples": 6}
    second = small_config(**chained, **overrides)
    plans = train(make_task(second), second, folder / "planner", read_weights)
    return folder, tasks, plans


def test_classifier_then_planner(trained):
    folder, tasks, plans = trained
    assert plans["plans/task_accuracy"] == pytest.approx(tasks["tasks/accuracy"])
    ours, theirs = (
        flatten(read_weights(str(folder / name))["params"]["classifier"])
        for name in ("planner", "classifier")
    )
    for path, value in theirs.items():
        np.testing.assert_array_equal(ours[path], value)


def test_every_protocol_reports(trained):
    _, _, plans = trained
    for key in ("SR", "mAcc", "mIoU", "error", "retrieval_SR", "random_mIoU"):
        assert np.isfinite(plans[f"plans/{key}"])
    for key in ("NLL", "KL", "ModePrec", "ModeRec"):
        assert np.isfinite(plans[f"uncertainty/{key}"])


def test_predict_writes_pictures_and_json(trained, tmp_path):
    folder, _, _ = trained
    config = small_config()
    video = inputs.read_procedures(config, "test").videos[0]
    np.savez(tmp_path / "tea.npz", frames_features=video.features, windows=[[0, 9], [4, 14.5]])
    np.savez(tmp_path / "pair.npz", start=video.features[:3], goal=video.features[-3:])
    np.save(tmp_path / "whole.npy", video.features)
    task, _, variables = load_run(None, [], folder / "planner", None)
    assert task.class_names == make_task(config).names_in_data()
    said = inputs.windows_of(config, "test")[1]
    assert [list(names) for names in task.labels()] == [list(names) for names in said]
    paths = [tmp_path / name for name in ("tea.npz", "pair.npz", "whole.npy")]
    out = tmp_path / "out"
    out.mkdir()
    written = task.predict_files(variables, paths, out)
    assert len(written) == 7
    answered = json.loads((out / "tea.json").read_text())
    assert [w["seconds"] for w in answered["windows"]] == [[0.0, 9.0], [4.0, 14.5]]
    for window in answered["windows"]:
        assert len(window["plan"]["actions"]) == len(window["steps"]) == 3
        assert sum(p["probability"] for p in window["plans"]) <= 1 + 1e-6
        assert window["plan"]["probability"] == max(p["probability"] for p in window["plans"])
    whole = json.loads((out / "whole.json").read_text())["windows"][0]
    pair = json.loads((out / "pair.json").read_text())["windows"][0]
    assert whole["seconds"] == [0.0, len(video.features) - 1.0]
    # The same observations and the same draws.
    assert whole["steps"] == pair["steps"]
    with Image.open(out / "tea_0.png") as picture:
        assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 10


good = np.zeros((6, 8), np.float32)


@pytest.mark.parametrize(
    ("arrays", "named"),
    [
        ({"frames_features": good[:, :5]}, r"features \(6, 5\), expected 3 or more rows of 8"),
        ({"frames_features": good[:2]}, "expected 3 or more rows of 8"),
        ({"frames_features": good + np.nan}, "not finite"),
        ({"start": good[:3], "goal": good[:2]}, r"goal \(2, 8\), expected 3 rows of 8"),
        ({"frames_features": good, "windows": [[0, 6]]}, "window 0 to 6 s, expected within 0 to 5"),
        ({"frames_features": good, "windows": [[4, 1]]}, "window 4 to 1 s"),
        ({"frames_features": good, "windows": [3.0]}, r"windows are \(1,\)"),
        ({"other": good}, "no 'frames_features' among other"),
    ],
)
def test_questions_that_cannot_be_asked(tmp_path, arrays, named):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(InputError, match=named):
        inputs.read_questions(tmp_path / "x.npz", 8)


def test_a_video_file_is_answered_what_is_needed(tmp_path):
    with pytest.raises(InputError, match="one row of 8 features per second"):
        inputs.read_questions(tmp_path / "clip.mp4", 8)


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_draws_belong_to_the_record(sampler):
    """A window's samples do not depend on its neighbours or place, nor repeat each other.

    Both batches have one shape: products of another would round differently, and untrained norms
    over few values magnify that. Batches of other sizes are compared by their metrics below.
    """
    config = small_config(**{"task.sampler": sampler, "task.diffusion_steps": 10})
    task = make_task(config)
    variables = variables_of(task)
    sample = jax.jit(lambda v, b: task.sample(v, b, jax.random.key(3), 2)[0])
    alone = sample(variables, batch_of(config, [5, 1, 2, 4]))
    together = sample(variables, batch_of(config, [0, 9, 5, 3]))
    np.testing.assert_allclose(together[2], alone[0], rtol=1e-5, atol=1e-5)
    assert float(jnp.abs(alone[0, 0] - alone[0, 1]).max()) > 1e-3


def test_eta_changes_the_plan_and_deterministic_does_not_sample():
    settings = {"eta": {"task.eta": 1.0}, "zero": {}, "deterministic": {}}
    found = {}
    for name, override in settings.items():
        if name == "deterministic":
            override = {"task.baseline": "deterministic"}
        config = small_config(**override)
        task = make_task(config)
        sample = jax.jit(lambda v, b, task=task: task.sample(v, b, jax.random.key(3), 2)[0])
        found[name] = sample(variables_of(task), batch_of(config, [1]))
    assert float(jnp.abs(found["eta"] - found["zero"]).max()) > 1e-3
    np.testing.assert_array_equal(found["deterministic"][0, 0], found["deterministic"][0, 1])


def test_evaluation_is_the_same_sharded_and_in_other_batches():
    results = []
    for devices, size in ((1, 16), (4, 16), (2, 24)):
        config = small_config(**{"task.evaluation_batch": size})
        task = make_task(config)
        mesh = make_mesh({"data": -1, "fsdp": 1, "tensor": 1}, jax.devices()[:devices])
        evaluator = Evaluator(task, mesh)
        with jax.set_mesh(mesh):
            variables = jax.device_put(
                variables_of(task), jax.NamedSharding(mesh, jax.sharding.PartitionSpec())
            )
        evaluator.compile(variables)
        results.append(evaluator.run(variables)[0])
    for other in results[1:]:
        for name, value in results[0].items():
            assert other[name] == pytest.approx(value, rel=1e-4), name


def test_a_frozen_classifier_needs_a_source(tmp_path):
    config = small_config(**{"task.classifier": "frozen"})
    with pytest.raises(InputError, match="keeps loaded weights"):
        train(make_task(config), config, tmp_path, read_weights)


def test_unread_rows_get_no_gradient():
    """Class and observation rows of the last convolution are never read: they keep their values."""
    config = small_config()
    task = make_task(config)
    variables = variables_of(task)
    grads = jax.jit(
        jax.grad(lambda params, b: task.loss({"params": params}, b, jax.random.key(0), True)[0])
    )(variables["params"], batch_of(config, range(4)))
    kernel = grads["planner"]["output"]["kernel"]
    part = task.layout.action_part
    assert float(jnp.abs(kernel[..., part]).max()) > 0
    assert not np.any(kernel[..., : part.start])
    assert not np.any(kernel[..., part.stop :])
