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
from jaxvision.methods.camliflow.weights import entries, imagenet_entries
from jaxvision.registry import load_config, make_task
from jaxvision.training import initialisation
from jaxvision.weights import to_state_dict, to_variables
from jaxvision.weights.mapping import flatten, unflatten


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


@pytest.mark.parametrize("counters", [True, False])
def test_both_image_encoders_start_from_torchvisions_classifier(counters):
    """Its tensors by name, those behind the second stage carried along; files older than batch
    norms' counters, too."""
    state = {
        e.name: np.full(e.shape, number % 7, e.dtype)
        for number, e in enumerate(imagenet_entries())
        if counters or not e.name.endswith("num_batches_tracked")
    }
    assert len(state) == (320 if counters else 267)
    network = recognise(state)
    variables, unused = to_variables(state, network.entries)
    assert list(to_state_dict(variables, network.entries, unused)) == list(state)
    fresh = unflatten(
        {
            e.path: np.empty(e.layout.ours(np.empty(e.shape)).shape)
            for e in entries(VARIANTS["camliraft"])
            if e.path
        }
    )
    chain = load_config("camliflow/camliraft_things:start=resnet50.pth").init
    found, reports = initialisation.apply(fresh, chain, lambda _: variables)
    assert [r.source for r in reports] == ["resnet50.pth"] * 2
    for report, encoder in zip(reports, ("image_features", "image_context"), strict=True):
        kept = [f"params/core/{encoder}/align/linear/{leaf}" for leaf in ("bias", "kernel")]
        assert report.kept == kept
        core = found["params"]["core"][encoder]
        kernel = core["stages_1_3"]["last"]["conv"]["kernel"]
        assert (kernel == state["layer2.3.conv3.weight"].flat[0]).all()
        statistics = found["batch_stats"]["core"][encoder]["stem"]["norm"]
        assert (statistics["var"] == state["bn1.running_var"][0]).all()


def test_names_of_a_network_made_small_by_settings_are_those_of_its_variables():
    task = make_task(load_config("camliflow/demo"))
    assert task.network.width < 128
    made = flatten(nn.unbox(jax.eval_shape(task.init, jax.random.key(0))))
    named = {
        e.path: e.layout.ours(np.empty(e.shape)).shape for e in entries(task.network) if e.path
    }
    assert named == {path: leaf.shape for path, leaf in made.items()}
