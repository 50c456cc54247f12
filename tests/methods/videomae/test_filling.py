"""What hidden cubes are filled in with when nothing is learnt."""

import jax.numpy as jnp
import numpy as np

from jaxvision.methods.videomae.filling import hidden_error, mean_colour, nearest_cubes


def test_a_hidden_cube_takes_the_mean_of_its_nearest_in_time_and_space():
    window, values = (2, 2, 3), np.arange(12, dtype=np.float32)
    cubes = jnp.asarray(values)[None, :, None] * jnp.ones(6)
    seen = np.zeros((1, 12), bool)
    seen[0, [1, 5, 11]] = True  # places (0, 0, 1), (0, 1, 2), (1, 1, 2)
    filled = np.asarray(nearest_cubes(cubes, jnp.asarray(seen), window))
    assert (filled == filled[..., :1]).all()
    # By hand: places 2 and 4 lie as far from 1 as from 5.
    np.testing.assert_allclose(filled[0, :, 0], [1, 1, 3, 1, 3, 5, 1, 1, 11, 1, 11, 11], 1e-6)


def test_the_mean_colour_is_of_visible_pixels_and_the_error_of_hidden_ones():
    rng = np.random.default_rng(0)
    cubes = rng.uniform(size=(2, 4, 2 * 4 * 4 * 3)).astype(np.float32)
    seen = np.array([[1, 0, 0, 1], [0, 0, 1, 0]], bool)
    filled = np.asarray(mean_colour(jnp.asarray(cubes), jnp.asarray(seen)))
    errors = hidden_error(jnp.asarray(filled), jnp.asarray(cubes), jnp.asarray(seen))
    for clip in range(2):
        colour = cubes[clip][seen[clip]].reshape(-1, 3).mean(0)
        np.testing.assert_allclose(filled[clip].reshape(-1, 3), np.tile(colour, (128, 1)), 1e-5)
        hidden = cubes[clip][~seen[clip]].reshape(-1, 3)
        np.testing.assert_allclose(errors[clip], np.square(hidden - colour).mean(), 1e-5)
