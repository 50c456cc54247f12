"""Official planners and classifiers through the command line."""

import json

import numpy as np
import pytest

import jaxvision
from jaxvision.cli.main import main
from jaxvision.errors import InputError
from jaxvision.loading import load_run
from jaxvision.methods.pdpp.pretrained import SETTINGS, observations, official_model, published
from jaxvision.networks import recognise
from jaxvision.weights.checkpoint_file import read_checkpoint
from jaxvision.weights.torch_writer import write_torch_file


def tensors(name, scale=0.01):
    rng = np.random.default_rng(len(name))
    return {
        "module." + entry.name: scale * rng.normal(size=entry.shape).astype(np.float32)
        for entry in official_model(name).entries
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A planner's checkpoint, averaged and raw, and a classifier's."""
    folder = tmp_path_factory.mktemp("official")
    contents = {"epoch": 3, "model": tensors("niv", 1.0), "ema": tensors("niv"), "step": 7}
    write_torch_file(folder / "planner.pt", contents)
    write_torch_file(folder / "mlp.pt", {"epoch": 3, "model": tensors("niv_classifier")})
    return folder


@pytest.mark.parametrize(("name", "file"), [("niv", "planner"), ("niv_classifier", "mlp")])
def test_files_come_back_byte_for_byte(files, tmp_path, name, file):
    official, back = files / f"{file}.pt", tmp_path / "back.pth"
    assert main(["convert", f"pdpp/{name}", str(official), str(tmp_path / "ours")]) == 0
    assert main(["convert", f"pdpp/{name}", str(tmp_path / "ours"), str(back)]) == 0
    before, after = read_checkpoint(official), read_checkpoint(back)
    assert list(before.tensors) == list(after.tensors)
    assert (before.key, before.prefix) == (after.key, after.prefix)
    for tensor, array in before.tensors.items():
        assert array.tobytes() == after.tensors[tensor].tobytes(), tensor


def test_the_averaged_weights_are_read(files):
    read = read_checkpoint(files / "planner.pt")
    assert read.key == "ema"
    assert np.abs(read.tensors["betas"]).max() < 0.1
    assert recognise(read.tensors, "planner.pt").name == "pdpp/niv"
    assert recognise(read_checkpoint(files / "mlp.pt").tensors, "mlp").name == "pdpp/niv_classifier"


def test_a_chain_of_official_files_makes_a_planner_ready(files):
    chain = [
        {"from": str(files / "planner.pt"), "to": "planner"},
        {"from": str(files / "mlp.pt"), "to": "classifier"},
    ]
    overrides = [f"init={tuple(chain)!r}", "task.classifier=frozen"]
    _, _, variables = load_run("pdpp/niv", overrides, None, None)
    model, expected, _ = jaxvision.load("pdpp/niv", weights=files / "planner.pt")
    assert model.layout == SETTINGS["niv"].layout
    kernel = expected["params"]["output"]["kernel"]
    np.testing.assert_array_equal(variables["params"]["planner"]["output"]["kernel"], kernel)
    with pytest.raises(InputError, match="no params/classifier/fc1"):
        load_run("pdpp/niv", [f"init={tuple(chain[:1])!r}", "task.classifier=frozen"], None, None)


def test_every_setting_is_listed_and_has_its_recipe():
    assert [row["network"] for row in published()] == [f"pdpp/{name}" for name in SETTINGS]
    from jaxvision.methods.pdpp.task import make_task
    from jaxvision.training.config import load_config

    for name, setting in SETTINGS.items():
        config = load_config(f"pdpp/{name}")
        assert make_task(config).layout == setting.layout
        assert config.task.diffusion_steps == setting.diffusion_steps


def test_observations_are_the_first_and_last_three_seconds():
    features = np.arange(20, dtype=np.float32).reshape(10, 2)
    both = observations(features)
    np.testing.assert_array_equal(both, [[[0, 1, 2, 3, 4, 5], [14, 15, 16, 17, 18, 19]]])
    with pytest.raises(InputError, match=r"features of shape \(2, 4\)"):
        observations(np.zeros((2, 4)))
    with pytest.raises(InputError, match="no such network; did you mean 'niv'"):
        official_model("nif")
    assert json.dumps(published())
