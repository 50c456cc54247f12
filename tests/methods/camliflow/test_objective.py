import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.errors import InputError
from jaxvision.methods.camliflow import objective
from jaxvision.methods.camliflow.model import FlowInputs, FlowNetwork
from jaxvision.methods.camliflow.parameter_groups import decays, of_point_branch
from jaxvision.methods.camliflow.variants import VARIANTS


@pytest.mark.parametrize("order", objective.ORDERS)
def test_a_loss_without_truth_is_0_and_an_exact_one_has_finite_gradients(order):
    flow = jnp.linspace(-1, 1, 12).reshape(1, 2, 2, 3)
    nothing = jnp.concatenate([flow, -jnp.ones((1, 2, 2, 1))], axis=-1)
    run = jax.jit(jax.value_and_grad(lambda x, truth: objective.distance(x, truth, order)))
    value, grads = run(flow, nothing)
    assert value == 0
    assert not grads.any()
    _, grads = run(flow, nothing.at[..., 3].set(1))
    assert np.isfinite(grads).all()


def test_later_iterations_and_finer_levels_count_for_more():
    truth, off = jnp.zeros((1, 4, 4, 2)), jnp.ones((1, 4, 4, 2))
    early = objective.sequence_loss([off, truth], truth, 0.5, "l1")
    late = objective.sequence_loss([truth, off], truth, 0.5, "l1")
    assert (float(early), float(late)) == (1.0, 2.0)
    weights = objective.LEVEL_WEIGHTS
    fine = objective.pyramid_loss_2d([off, truth], truth, weights, "l1")
    coarse = objective.pyramid_loss_2d([truth, off], truth, weights, "l1")
    assert (float(fine), float(coarse)) == (16.0, 8.0)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("raft", {"images": jnp.zeros((1, 2, 120, 200, 3))}, "at least 128 on each side"),
        ("camliraft_l", {"clouds": jnp.ones((1, 2, 4000, 3))}, "expected at least 4096"),
        ("camlipwc_l", {"camera": None}, "expected both"),
        ("pwc", {"images": None}, "expected two frames"),
    ],
)
def test_inputs_that_are_missing_or_too_small_are_refused(name, change, said):
    inputs = FlowInputs(jnp.zeros((1, 2, 128, 128, 3)), jnp.ones((1, 2, 4200, 3)), jnp.ones((1, 3)))
    network = FlowNetwork(VARIANTS[name])
    with pytest.raises(InputError, match=said):
        jax.eval_shape(lambda key: network.init(key, inputs._replace(**change)), jax.random.key(0))


def test_fusions_learn_at_the_rate_of_pixels_and_biases_do_not_decay():
    assert of_point_branch("core/points/gru/update/mlp/linear/kernel")
    assert of_point_branch("core/point_costs_3/cost_mlp/layer_0/linear/kernel")
    assert not of_point_branch("core/fuse_motion/to_points/linear/kernel")
    assert not of_point_branch("core/image/gru/rows_0/kernel")
    assert decays("core/points/gru/update/mlp/linear/kernel", (128, 384, 1))
    assert not decays("core/points/gru/update/mlp/linear/bias", (128,))
