"""What hidden cubes are filled in with when nothing is learnt."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxvision.methods.videomae.filling import hidden_error, mean_colour, nearest_cubes
from jaxvision.methods.videomae.objective import seen_statistics
from jaxvision.methods.videomae.task import make_task
from jaxvision.nn.patches import patchify
from jaxvision.training.config import load_config
from processes import SMALL


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


def test_the_deviation_of_a_clip_is_that_of_its_visible_pixels():
    rng = np.random.default_rng(1)
    cubes = rng.uniform(size=(2, 4, 2 * 4 * 4 * 3)).astype(np.float32)
    seen = np.array([[1, 0, 0, 1], [0, 0, 1, 0]], bool)
    colour, deviation = seen_statistics(jnp.asarray(cubes), jnp.asarray(seen))
    for clip in range(2):
        pixels = cubes[clip][seen[clip]].reshape(-1, 3)
        np.testing.assert_allclose(colour[clip], pixels.mean(0), 1e-5)
        spread = np.sqrt(np.square(pixels - pixels.mean(0)).mean())
        np.testing.assert_allclose(deviation[clip], spread + 0.02, 1e-5)


def test_a_normalised_clip_is_answered_in_its_own_colours():
    """The same contrasts, half as strong about another grey: the same input, target and loss, and
    an answer that follows the clip's colours."""
    words = [word.removeprefix("--config.") for word in SMALL]
    task = make_task(load_config("videomae/demo", [*words, "task.normalise_clip=True"]))
    rng = np.random.default_rng(2)
    strong = (2 * rng.integers(0, 120, (2, 4, 16, 16, 3))).astype(np.uint8)
    weak = (strong // 2 + 60).astype(np.uint8)
    variables = jax.jit(lambda key: nn.unbox(task.init(key)))(jax.random.key(0))

    @jax.jit
    def run(variables, video):
        batch = task.prepare({"video": video}, jax.random.key(1), False)
        loss, _ = task.loss(variables, batch, jax.random.key(2), False)
        return batch, loss, task.predict(variables, batch, jax.random.key(3))

    batch, loss, answer = run(variables, strong)
    other, other_loss, fainter = run(variables, weak)
    # Nothing but the 0.02 that is added to the deviation tells their inputs apart.
    np.testing.assert_allclose(
        batch["input"] * batch["deviation"][:, None, None, None, None],
        2 * other["input"] * other["deviation"][:, None, None, None, None],
        atol=1e-5,
    )
    cubes = np.asarray(patchify(batch["input"], 2, 8))
    visible = np.take_along_axis(cubes, np.asarray(batch["visible"])[..., None], axis=1)
    assert abs(visible.mean()) < 1e-5
    np.testing.assert_allclose(visible.std(axis=(1, 2)), 1, atol=0.1)
    np.testing.assert_allclose(other_loss, loss, rtol=0.2)
    # An error of pixels in [0, 1]: a quarter of it where the contrasts are half as strong.
    np.testing.assert_allclose(fainter["error"], answer["error"] / 4, rtol=0.2)
    # Three quarters of each clip are hidden, and only they are wrong.
    errors = np.square(answer["reconstructed"] / 255.0 - strong / 255.0).mean(axis=(1, 2, 3, 4))
    np.testing.assert_allclose(errors, 0.75 * answer["error"], rtol=0.05)
