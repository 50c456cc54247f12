"""Videos of another size than the grid's: positions are resized, parameters stay."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.nn.positions import sincos_1d
from jaxvision.nn.transformer import BlockConfig
from jaxvision.nn.video_transformer import CubeGrid, VideoClassifier, VideoEncoder
from jaxvision.ops.position_tables import resize_spatial, resize_table, resize_temporal

GRID = CubeGrid(frames=4, image_size=(16, 16), tubelet=2, patch=8)
BLOCK = BlockConfig(12, 3)


@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize("size", [(4, 24, 16), (8, 16, 16), (6, 24, 24)])
def test_a_video_of_another_size_gets_resized_positions(size, table):
    encoder = VideoEncoder(GRID, BLOCK, 1, position_table=table)
    video = jax.random.normal(jax.random.key(1), (2, *size, 3))
    variables = encoder.init(jax.random.key(0), jnp.zeros((1, 4, 16, 16, 3)))
    answer = encoder.apply(variables, video)
    new = GRID.window_of(size)
    assert answer.shape == (2, np.prod(new), 12)

    # The same weights, with the resized table among the parameters.
    there = dataclasses.replace(GRID, frames=size[0], image_size=size[1:])
    own = variables["params"].get("positions")
    old = sincos_1d(GRID.tokens, 12) if own is None else own.unbox()
    params = {**variables["params"], "positions": resize_table(old, GRID.window, new)}
    whole = VideoEncoder(there, BLOCK, 1, position_table=True)
    np.testing.assert_allclose(whole.apply({"params": params}, video), answer, atol=1e-5)


def test_a_table_is_resized_in_space_then_in_time():
    table = np.random.default_rng(0).standard_normal((2 * 3 * 3, 5)).astype(np.float32)
    assert resize_table(table, (2, 3, 3), (2, 3, 3)) is table
    in_space = resize_spatial(table, (2, 3, 3), (4, 2))
    expected = resize_temporal(in_space, 2, 5)
    np.testing.assert_array_equal(resize_table(table, (2, 3, 3), (5, 4, 2)), expected)
    # Constant tables stay constant whatever the size.
    ones = resize_table(np.ones((18, 2), np.float32), (2, 3, 3), (7, 5, 4))
    np.testing.assert_allclose(ones, np.ones((140, 2)), rtol=1e-6)


def test_a_classifier_takes_clips_of_another_length():
    model = VideoClassifier(GRID, BLOCK, 1, classes=3)
    variables = model.init(jax.random.key(0), jnp.zeros((1, 4, 16, 16, 3)))
    assert model.apply(variables, jnp.zeros((2, 8, 24, 16, 3))).shape == (2, 3)
