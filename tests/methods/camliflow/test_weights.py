from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxvision.data.scene_flow.frames import FramePair
from jaxvision.data.scene_flow.geometry import Camera
from jaxvision.errors import InputError
from jaxvision.methods.camliflow.model import FlowInputs, FlowNetwork
from jaxvision.methods.camliflow.pretrained import preprocess, recognise
from jaxvision.methods.camliflow.variants import PARAMETERS, VARIANTS
from jaxvision.methods.camliflow.weights import entries
from jaxvision.weights import to_state_dict, to_variables
from jaxvision.weights.mapping import flatten


@pytest.mark.parametrize("name", VARIANTS)
def test_every_weight_has_an_official_name(name):
    """No parameter that the file lacks, none that the network does."""
    config, listed = VARIANTS[name], entries(VARIANTS[name])
    images = jnp.zeros((1, 2, 128, 128, 3)) if config.images else None
    clouds = jnp.ones((1, 2, 4200, 3)) if config.points else None
    inputs = FlowInputs(images, clouds, jnp.ones((1, 3)))
    network = FlowNetwork(config)
    made = jax.eval_shape(
        lambda key: network.init(key, inputs, iterations=1),
        jax.random.key(0),
    )
    shapes = {path: leaf.shape for path, leaf in flatten(nn.unbox(made)).items()}
    state = {e.name: np.zeros(e.shape, e.dtype) for e in listed}
    variables, unused = to_variables(state, listed)
    ours = {path: leaf.shape for path, leaf in flatten(variables).items()}
    assert shapes == ours
    assert list(to_state_dict(variables, listed, unused)) == list(state)
    parameters = [shape for path, shape in ours.items() if path.startswith("params/")]
    assert sum(int(np.prod(shape)) for shape in parameters) == PARAMETERS[name]


def test_files_are_told_apart_by_their_tensors():
    for name, config in VARIANTS.items():
        state = {e.name: np.zeros(e.shape, e.dtype) for e in entries(config)}
        assert recognise(state).name == f"camliflow/{name}"
    lite = replace(VARIANTS["camlipwc"], lite=True)
    state = {e.name: np.zeros(e.shape, e.dtype) for e in entries(lite)}
    assert [e.name for e in recognise(state).entries] == list(state)
    assert recognise(state).model.config.lite
    assert recognise({"core.other": np.zeros(1)}) is None


def test_points_behind_the_camera_leave_before_points_are_drawn():
    cloud = np.ones((9000, 3), np.float32)
    cloud[:100, 2], cloud[100:200, 0] = -1, np.nan
    pair = FramePair(
        images=np.zeros((2, 64, 64, 3), np.uint8),
        clouds=(cloud, cloud[200:300]),
        camera=Camera(50.0, 32.0, 32.0),
        size=(64, 64),
    )
    found = preprocess(pair)
    assert found.clouds.shape == (1, 2, 8192, 3)
    assert (found.clouds == 1).all()
    with pytest.raises(InputError, match="no points left"):
        preprocess(replace(pair, clouds=(cloud, cloud[:100])))
