"""A loss per process of the paper's run, whatever the mesh."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.errors import InputError
from jaxvision.training.loss_groups import mean_over_groups
from jaxvision.training.mesh import make_mesh
from jaxvision.training.sharding import batch_sharding

ERROR = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32) ** 2
VALID = np.random.default_rng(1).random((16, 3)) < 0.4


def mean_of_valid(batch, scale=1.0):
    count = jnp.maximum(jnp.sum(batch["valid"]), 1)
    total = jnp.sum(jnp.where(batch["valid"], batch["error"], 0))
    return {"mean": scale * total / count, "sum": total}


def by_hand(groups):
    parts = [
        {"error": e, "valid": v}
        for e, v in zip(np.split(ERROR, groups), np.split(VALID, groups), strict=True)
    ]
    found = [jax.device_get(mean_of_valid(part)) for part in parts]
    return {name: np.mean([part[name] for part in found]) for name in found[0]}


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_each_group_has_its_own_normaliser(groups):
    found = mean_over_groups(mean_of_valid, groups, {"error": ERROR, "valid": VALID})
    for name, expected in by_hand(groups).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-6)


def test_groups_differ_from_the_whole_batch():
    assert abs(by_hand(4)["mean"] - by_hand(1)["mean"]) > 1e-3
    np.testing.assert_allclose(by_hand(4)["sum"], by_hand(1)["sum"] / 4, rtol=1e-6)


@pytest.mark.parametrize("groups", [2, 4, 16])  # fewer and more than the parts of the mesh
def test_a_group_may_span_devices_or_share_one(groups):
    mesh = make_mesh({"data": 4, "fsdp": 2, "tensor": 1}, jax.devices()[:8])
    batch = jax.device_put({"error": ERROR, "valid": VALID}, batch_sharding(mesh))
    with jax.set_mesh(mesh):
        found = jax.jit(lambda batch: mean_over_groups(mean_of_valid, groups, batch))(batch)
    for name, expected in by_hand(groups).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-6)


def test_groups_that_do_not_divide_are_refused():
    with pytest.raises(InputError, match=r"train.loss_groups=3 does not divide 16 samples"):
        mean_over_groups(mean_of_valid, 3, {"error": ERROR, "valid": VALID})
