"""An exported model gives the same answers in a process that cannot import this library."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import linen as nn

from jaxvision import class_names
from jaxvision.cli.main import main
from jaxvision.errors import InputError
from jaxvision.export import export_model
from jaxvision.registry import make_task
from jaxvision.training.config import load_config
from jaxvision.weights.mapping import flatten
from processes import SMALL

SMALL_CLASSIFIER = [
    "model.frames=4",
    "model.image_size=(16,16)",
    "model.patch=8",
    "model.width=32",
    "model.heads=2",
    "model.depth=2",
    "model.init_scale=1.0",
    "dtype=float32",
    "init=()",
]
ALONE = """
import sys
import importlib.metadata
KNOWN = {"jax", "jaxlib", "numpy", "scipy", "ml_dtypes", "opt_einsum", "flatbuffers", "jax_plugins"}
HIDDEN = {"jaxvision", *importlib.metadata.packages_distributions()} - KNOWN

class Alone:
    def find_spec(self, name, path=None, target=None):
        if name in HIDDEN:
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Alone())
import jax, numpy
import jax.export
folder, inputs, answers = sys.argv[1:]
exported = jax.export.deserialize(bytearray(open(f"{folder}/cpu.jax_export", "rb").read()))
outputs = exported.call(dict(numpy.load(f"{folder}/variables.npz")), dict(numpy.load(inputs)))
numpy.savez(answers, **outputs)
assert not {"jaxvision", "flax"} & set(sys.modules)
"""


def answers_alone(folder, batch: dict, tmp_path) -> dict[str, np.ndarray]:
    """What the artifact says, in a process with nothing but jax, NumPy and flatbuffers."""
    np.savez(tmp_path / "inputs.npz", **batch)
    words = [str(folder), str(tmp_path / "inputs.npz"), str(tmp_path / "answers.npz")]
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "XLA_FLAGS")}
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *words],
        cwd=tmp_path,
        env={**environment, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return dict(np.load(tmp_path / "answers.npz"))


def predict(task, variables, batch):
    rng = jax.random.key(task.config.seed)
    return jax.jit(lambda v, b: task.predict(v, task.prepare(b, rng, False), rng))(variables, batch)


@pytest.fixture
def classifier(tmp_path):
    (tmp_path / "labels.txt").write_text("falling\nrising\nstill\n")
    config = load_config(
        "videomae/vit_b_k400_finetune",
        [*SMALL_CLASSIFIER, f"data.labels={tmp_path / 'labels.txt'}"],
    )
    task = make_task(config)
    return task, nn.unbox(task.init(jax.random.key(1)))


def test_a_classifier_answers_alike_without_the_library(classifier, tmp_path):
    task, variables = classifier
    out = tmp_path / "out"
    written = export_model(task, variables, out)
    assert [path.name for path in written] == [
        "cpu.jax_export",
        "cuda.jax_export",
        "tpu.jax_export",
    ]
    clips = np.random.default_rng(0).integers(0, 256, (3, 4, 16, 16, 3), np.uint8)
    for rows in (3, 1):
        batch = {"video": clips[:rows]}
        alone = answers_alone(out, batch, tmp_path)
        expected = predict(task, variables, batch)
        assert set(alone) == {"probabilities"}
        np.testing.assert_allclose(alone["probabilities"], expected["probabilities"], atol=2e-6)
    assert np.ptp(alone["probabilities"]) > 0.01
    told = json.loads((out / "export.json").read_text())
    # Labels decide nothing, so they are no input.
    video = {"shape": ["b", 4, 16, 16, 3], "dtype": "uint8"}
    assert told["inputs"]["batch"] == {"video": video}
    assert told["outputs"] == {"probabilities": {"shape": ["b", 3], "dtype": "float32"}}
    assert told["classes"] == list(class_names(out)) == list(task.class_names)
    assert json.loads((out / "config.json").read_text())["model"]["width"] == 32


def test_the_parameters_are_an_orbax_checkpoint(classifier, tmp_path):
    task, variables = classifier
    out = tmp_path / "out"
    for _ in range(2):  # the second takes the place of the first
        export_model(task, variables, out, ["cpu"], batch_size=2)
    with ocp.StandardCheckpointer() as reader:
        restored = flatten(reader.restore((out / "parameters").absolute()))
    wanted = flatten(variables)
    assert set(restored) == set(wanted)
    assert all(np.array_equal(restored[path], wanted[path]) for path in wanted)
    shape = json.loads((out / "export.json").read_text())["inputs"]["batch"]["video"]["shape"]
    assert shape[0] == 2


@pytest.mark.xdist_group("cli")
def test_a_workdir_is_exported_by_one_command(tmp_path, capsys):
    train = ["train", "--config=videomae/demo", *SMALL, "--config.train.steps=1"]
    assert main([*train, f"--workdir={tmp_path / 'run'}", "--config.mesh.data=8"]) == 0
    capsys.readouterr()
    out = tmp_path / "out"
    argv = ["export", f"--workdir={tmp_path / 'run'}", str(out), "--platform", "cpu"]
    assert main(argv) == 0
    assert capsys.readouterr().out.split() == [str(out / "cpu.jax_export")]
    clips = np.random.default_rng(0).integers(0, 256, (2, 4, 16, 16, 3), np.uint8)
    answers = answers_alone(out, {"video": clips}, tmp_path)
    assert np.array_equal(answers["original"], clips)
    assert not np.array_equal(answers["reconstructed"], clips)
    assert answers["error"].shape == (2,)
    assert main(["export", str(out)]) == 2
    assert "say which model: --workdir" in capsys.readouterr().err


def test_what_cannot_be_is_refused(classifier, tmp_path):
    task, variables = classifier
    with pytest.raises(InputError, match=r"'gpu'"):
        export_model(task, variables, tmp_path, ["gpu"])
    with pytest.raises(InputError, match=r"--bucket 'clip'; did you mean 'clips'\?"):
        export_model(task, variables, tmp_path, bucket="clip")
