"""The largest value along an axis: values, and where the gradient goes."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxvision.ops.largest import largest


def test_values_are_the_largest_and_the_gradient_goes_to_the_first_place():
    x = jnp.array([[1.0, 3.0, 3.0], [-2.0, -5.0, -2.0]])
    value, gradient = jax.value_and_grad(lambda x: jnp.sum(largest(x, -1) * jnp.array([2.0, 5.0])))(
        x
    )
    assert value == 2 * 3 - 5 * 2
    np.testing.assert_array_equal(gradient, [[0, 2, 0], [5, 0, 0]])
    np.testing.assert_array_equal(largest(x, 0), jnp.max(x, axis=0))
