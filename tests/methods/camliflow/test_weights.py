import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxvision.methods.camliflow.model import FlowNetwork
from jaxvision.methods.camliflow.variants import PARAMETERS, VARIANTS
from jaxvision.methods.camliflow.weights import entries
from jaxvision.weights import flatten, to_state_dict, to_variables


@pytest.mark.parametrize("name", VARIANTS)
def test_every_weight_has_an_official_name(name):
    """No parameter that the file lacks, none that the network does."""
    config, listed = VARIANTS[name], entries(VARIANTS[name])
    images = jnp.zeros((1, 2, 128, 128, 3)) if config.images else None
    clouds = jnp.ones((1, 2, 4200, 3)) if config.points else None
    network = FlowNetwork(config)
    made = jax.eval_shape(
        lambda key: network.init(key, images, clouds, jnp.ones((1, 3)), iterations=1),
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
