"""A mesh changes neither masks nor losses nor gradients; `draw_groups` does."""

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxvision.methods.umt.objective import alignment_loss
from jaxvision.methods.umt.stage1_task import student_params
from jaxvision.methods.umt.task import make_task
from jaxvision.ops import token_masks
from jaxvision.training.run import prepare_run
from jaxvision.training.sharding import batch_sharding, put
from jaxvision.weights.mapping import flatten, unflatten
from methods.umt.language import small as pairs
from methods.umt.small import FRAMES, stage1

MESH = {"mesh.data": 2, "mesh.fsdp": 2, "mesh.tensor": 2}
STILL = {"language.dropout": 0.0, "language.attention_dropout": 0.0}
ROWS = 8


def on_mesh(config, batch, function, devices):
    """function(task)(variables, batch) on the config's mesh: variables by rule, sharded as the
    engine shards them. Scales of norms are near 1: near 0 all samples look alike, and float32 keeps
    few digits of how they differ."""
    task = make_task(config)
    run = prepare_run(task, config, jax.devices()[:devices])
    rng = np.random.default_rng(0)
    places = sorted(flatten(run.target.variables()).items())
    values = {
        path: put(
            np.float32(path.endswith("scale") + 0.05 * rng.standard_normal(leaf.shape)),
            leaf.sharding,
        )
        for path, leaf in places
    }
    placed = {name: put(value, batch_sharding(run.mesh)) for name, value in batch.items()}
    whole = NamedSharding(run.mesh, PartitionSpec())
    with jax.set_mesh(run.mesh):
        answer = jax.jit(function(task), out_shardings=whole)(unflatten(values), placed)
    return jax.device_get(answer)


def both(make, batch, function):
    return (
        on_mesh(make(**{"mesh.data": 1}), batch, function, 1),
        on_mesh(make(**MESH), batch, function, 8),
    )


def close(got, wanted):
    """Relative to the norm of each, as golden cases are: within 1e-5."""
    for path, leaf in flatten(wanted).items():
        error = np.linalg.norm(flatten(got)[path] - leaf)
        assert error <= 1e-5 * max(float(np.linalg.norm(leaf)), 1e-3), path


@pytest.mark.xdist_group("umt-mesh")
def test_given_draws_and_attention_masks_are_equal_and_gradients_close():
    rng = np.random.default_rng(1)
    places = 16
    batch = {
        "video": rng.integers(0, 256, (ROWS, FRAMES, 32, 32, 3), np.uint8),
        "attention": rng.dirichlet(np.ones(places), (ROWS, FRAMES)).astype(np.float32),
        "noise": rng.gumbel(size=(ROWS, FRAMES, places)).astype(np.float32),
        "targets": rng.standard_normal((ROWS, 2, FRAMES * 8, 16)).astype(np.float32),
    }

    def learn(task):
        def answer(variables, batch):
            flat = (rows.reshape(-1, places) for rows in (batch["attention"], batch["noise"]))
            chosen = token_masks.guided_places(*flat, task.visible)
            visible = token_masks.tokens_of_places(chosen, FRAMES, places)
            pixels = task.prepare({"video": batch["video"]}, jax.random.key(0), True)["input"]

            def loss(params):
                seen = task.model.apply({"params": params}, pixels, visible)["aligned"]
                return alignment_loss(seen, batch["targets"].swapaxes(0, 1), normalise=True).mean()

            value, gradient = jax.value_and_grad(loss)(student_params(variables))
            return {"visible": visible, "loss": value, "gradient": gradient}

        return answer

    one, eight = both(lambda **mesh: stage1(**mesh, **{"model.drop_path": 0.0}), batch, learn)
    np.testing.assert_array_equal(eight.pop("visible"), one.pop("visible"))
    assert np.abs(one["gradient"]["heads"]["projection"]["kernel"]).max() > 1e-4
    close(eight, one)


@pytest.mark.xdist_group("umt-mesh")
def test_contrast_and_matching_see_draw_groups_and_no_mesh(tmp_path):
    pairs.made(tmp_path)
    rng = np.random.default_rng(1)
    batch = {
        "video": rng.integers(0, 256, (ROWS, pairs.FRAMES, pairs.SIDE, pairs.SIDE, 3), np.uint8),
        "ids": rng.integers(5, 12, (ROWS, pairs.LENGTH)).astype(np.int32),
        "mask": np.ones((ROWS, pairs.LENGTH), bool),
        "key": np.arange(ROWS, dtype=np.int32),
    }

    def learn(task):
        def answer(variables, batch):
            def loss(params):
                prepared = task.prepare(batch, jax.random.key(0), True)
                losses = task.pair_losses({"params": params}, prepared, jax.random.key(1), True)
                return losses["vtc"] + losses["vtm"], losses

            grads, losses = jax.grad(loss, has_aux=True)(variables["params"])
            return {"losses": losses, "gradient": grads}

        return answer

    def recipe(groups):
        changed = {**STILL, "train.batch_size": ROWS, "train.draw_groups": groups}
        return lambda **mesh: pairs.recipe(tmp_path, **changed, **mesh)

    one, eight = both(recipe(4), batch, learn)
    close(eight, one)
    other = on_mesh(recipe(1)(**{"mesh.data": 1}), batch, learn, 1)
    assert other["losses"]["vtc"] == pytest.approx(one["losses"]["vtc"], rel=1e-6)
    assert other["losses"]["vtm"] != pytest.approx(one["losses"]["vtm"], rel=1e-6)
    towers = "vision_projection", "kernel"
    mine, its = (run["gradient"][towers[0]][towers[1]] for run in (one, other))
    assert np.linalg.norm(its) > 2 * np.linalg.norm(mine)
