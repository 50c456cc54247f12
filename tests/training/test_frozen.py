"""Parameters that are not trained: their dtype, where they lie; in-batch contrast."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxvision.errors import InputError
from jaxvision.loading import read_workdir
from jaxvision.training import loop
from jaxvision.training.config import check_choices
from jaxvision.training.run import prepare_run
from jaxvision.training.task import Group
from training.toy import CLASSES, FEATURES, ToyTask, toy_config


class TaughtTask(ToyTask):
    """The toy with a frozen teacher, whose kernel is split over fsdp."""

    def init(self, rng):
        variables = super().init(rng)
        kernel = jax.random.normal(rng, (FEATURES * 8, CLASSES))
        teacher = {
            "kernel": nn.LogicallyPartitioned(kernel, ("embed", None)),
            "steps": jnp.int32(7),
        }
        return {**variables, "params": {**variables["params"], "teacher": teacher}}

    def parameter_group(self, path, shape):
        return Group(train=False) if "teacher" in path else super().parameter_group(path, shape)

    def loss(self, variables, batch, rng, train):
        params = dict(variables["params"])
        kernel = params.pop("teacher")["kernel"]
        value, aux = super().loss({**variables, "params": params}, batch, rng, train)
        target = jnp.tile(batch["x"].astype(kernel.dtype), (1, 8)) @ kernel
        return value + 1e-2 * jnp.mean(target.astype(jnp.float32)), aux

    def predict(self, variables, batch, rng):
        params = {k: v for k, v in variables["params"].items() if k != "teacher"}
        return super().predict({**variables, "params": params}, batch, rng)


HALF = {"frozen.prefix": "teacher/", "frozen.dtype": "bfloat16"}


def target(devices=1, **settings):
    config = toy_config(**settings)
    return prepare_run(TaughtTask(config), config, jax.devices()[:devices]).target


def test_the_floats_meant_are_kept_in_bfloat16():
    frozen = target(**HALF).frozen
    assert frozen["teacher"]["kernel"].dtype == jnp.bfloat16
    assert frozen["teacher"]["steps"].dtype == jnp.int32
    assert frozen["table"].dtype == jnp.float32, "no teacher"
    assert target().frozen["teacher"]["kernel"].dtype == jnp.float32
    assert target(**{"frozen.dtype": "bfloat16"}).frozen["table"].dtype == jnp.bfloat16


@pytest.mark.parametrize(("sharded", "rows"), [(True, FEATURES * 2), (False, FEATURES * 8)])
def test_a_teacher_is_split_or_whole(sharded, rows):
    mesh = {"mesh.data": 2, "mesh.fsdp": 4}
    found = target(8, **mesh, **{"frozen.prefix": "teacher/", "frozen.sharded": sharded})
    kernel = found.frozen["teacher"]["kernel"]
    assert kernel.sharding.shard_shape(kernel.shape) == (rows, CLASSES)


def test_a_run_with_a_teacher_in_bfloat16_is_close_and_starts_again(tmp_path):
    finals, results = {}, {}
    for name, settings in (("float32", {}), ("bfloat16", HALF)):
        config = toy_config(**settings)
        devices = jax.devices()[:1]
        results[name] = loop.train(TaughtTask(config), config, tmp_path / name, None, devices)
        finals[name] = read_workdir(tmp_path / name)
    half, full = (finals[name]["params"]["teacher"]["kernel"] for name in ("bfloat16", "float32"))
    assert half.dtype == jnp.bfloat16
    np.testing.assert_array_equal(half, full.astype(jnp.bfloat16))
    config = toy_config(**HALF, **{"frozen.sharded": False})  # may change on a resume
    again = loop.train(TaughtTask(config), config, tmp_path / "bfloat16", None, jax.devices()[:1])
    assert again == results["bfloat16"]


def test_a_dtype_that_is_none_is_refused():
    with pytest.raises(InputError, match=r"frozen.dtype 'float16': expected 'float32' or"):
        check_choices(toy_config(**{"frozen.dtype": "float16"}))


class ContrastTask(ToyTask):
    contrasts_in_batch = True


def test_a_loss_that_contrasts_inside_a_batch_refuses_accumulation():
    config = toy_config(**{"train.accumulate": 2})
    with pytest.raises(InputError, match=r"train.accumulate=2: the loss of 'toy' compares samples"):
        prepare_run(ContrastTask(config), config, jax.devices()[:1])
    config = toy_config()
    assert prepare_run(ContrastTask(config), config, jax.devices()[:1]).steps == 6
