"""What CONTRIBUTING.md says of a built method, for every method that is not planned.

What can be read is read; the rest is one small batch: its loss sharded and not, in float32 and
bfloat16, its operations counted, its answer exported.
"""

import ast
import re
from functools import cache
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.export import symbolic_shape
from jax.sharding import NamedSharding, PartitionSpec
from ml_collections import ConfigDict

import compiled_goldens
import text_goldens
from golden_case import Case
from jaxvision.export import export_one, predictor
from jaxvision.networks import published
from jaxvision.planning.flops import count
from jaxvision.registry import METHODS, load_config, make_task, settings
from jaxvision.training.config import recipes
from jaxvision.training.run import Run, abstract_batch, jitted_step, prepare_run
from jaxvision.training.sharding import batch_sharding, put
from jaxvision.weights.mapping import flatten, unflatten

ROOT = Path(__file__).resolve().parents[1]
BUILT = [name for name, method in METHODS.items() if method.status != "planned"]
MACHINE = r"two (busy )?(CPU )?cores"
# Beside what makes the compiled goldens small.
SMALLER = {
    "videomae": ("train.batch_size=8",),
    "emavfi": ("train.batch_size=4",),
    "camliflow": ("train.batch_size=4", "train.loss_groups=2"),
    # Large kernels take minutes to compile here: tests/methods/link trains them on eight devices.
    "link": (
        *("model.network=minkunet", "train.batch_size=2"),
        *("train.norm_groups=2", "train.loss_groups=2"),
    ),
}

# Their programs depend on how many scans or pairs there are; `export` asks for --batch-size.
FIXED_BATCH = ("camliflow", "link")

built = pytest.mark.parametrize("method", BUILT)


@built
def test_it_is_listed(method):
    assert METHODS[method].status.endswith("train, evaluate, predict")
    assert settings(method)
    names = [name for name in recipes() if name.startswith(f"{method}/")]
    assert f"{method}/demo" in names
    assert published(method), "`jaxvision list` names the authors' weights"


@built
def test_it_can_be_read(method):
    readme = (ROOT / "jaxvision" / "methods" / method / "README.md").read_text()
    assert METHODS[method].paper in readme
    assert re.search("in this order", readme), "which files to read, and in which order"
    assert re.search("published", readme, re.IGNORECASE)
    for file in re.findall(r"`([\w/]+\.py)`", readme):
        found = (ROOT / file).exists() or list((ROOT / "jaxvision").rglob(file))
        assert found, f"{file} of the README is not there"
    assert f"jaxvision/methods/{method}/README.md" in (ROOT / "README.md").read_text()
    pages = [page.read_text() for page in (ROOT / "docs").glob("*.md")]
    assert any(f"{method}/" in page or METHODS[method].title in page for page in pages)


@built
def test_its_demo_says_what_was_measured(method):
    text = ast.get_docstring(ast.parse(recipes()[f"{method}/demo"].read_text()))
    assert re.search(MACHINE, " ".join(text.split()))
    assert re.search(r"\d+(\.\d+)? %|\d\.\d+", text)


@built
def test_a_folder_gives_it_what_it_reads(method):
    """Other files in it are passed over and counted."""
    names = [name for name in recipes() if name.startswith(f"{method}/")]
    for name in names:
        assert make_task(load_config(name)).input_suffixes, name


@built
def test_it_has_goldens_and_tests(method):
    names = [name for name in recipes() if name.startswith(f"{method}/")]
    assert all(text_goldens.path_of(name).is_file() for name in names)
    assert compiled_goldens.path_of(f"{method}/demo").is_file()
    cases = map(Case.read_meta, (ROOT / "tests" / "goldens" / method).glob("*.npz"))
    assert any(case and case["method"] == method for case in cases)
    tests = [file.read_text() for file in (ROOT / "tests" / "methods" / method).rglob("*.py")]
    predicting = [text for text in tests if "predict" in text and "png" in text]
    assert predicting, "a test that predicts files and looks at the pictures"


def config_of(method: str, *more: str) -> ConfigDict:
    recipe = f"{method}/demo"
    small = (*compiled_goldens.RECIPES[recipe], *SMALLER.get(method, ()))
    return load_config(recipe, [*small, "mesh.data=1", *more])


def prepared(method: str, *more: str) -> Run:
    config = config_of(method, *more)
    devices = jax.devices()[: config.mesh.data]
    return prepare_run(make_task(config), config, devices)


@cache
def values_of(method: str) -> dict[str, np.ndarray]:
    """Variables by rule: making them would have to be compiled."""
    rng = np.random.default_rng(0)

    def draw(path: str, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        if not np.issubdtype(leaf.dtype, np.floating):
            return np.zeros(leaf.shape, leaf.dtype)
        if len(leaf.shape) > 1:
            values = rng.standard_normal(leaf.shape) / np.sqrt(np.prod(leaf.shape[:-1]))
        else:
            values = np.full(leaf.shape, float(path.endswith(("scale", "var", "slope"))))
        return values.astype(leaf.dtype)

    target = prepared(method).target.variables()
    return {path: draw(path, leaf) for path, leaf in flatten(target).items()}


def loss_of(method: str, *more: str) -> float:
    """Of the first batch, as a training step has it."""
    run = prepared(method, *more)
    where = {path: leaf.sharding for path, leaf in flatten(run.target.variables()).items()}
    variables = unflatten({path: put(v, where[path]) for path, v in values_of(method).items()})
    batch = {name: put(v, batch_sharding(run.mesh)) for name, v in run.data[0].arrays.items()}
    whole = NamedSharding(run.mesh, PartitionSpec())

    def loss(variables, batch):
        rng = jax.random.key(0)
        return run.task.loss(variables, run.task.prepare(batch, rng, True), rng, True)[0]

    with jax.set_mesh(run.mesh):
        return float(jax.jit(loss, out_shardings=whole)(variables, batch))


@pytest.mark.xdist_group("built")
@built
def test_its_loss_is_the_same_sharded_and_close_in_bfloat16(method):
    expected = loss_of(method)
    assert np.isfinite(expected)
    assert loss_of(method, "mesh.data=2") == pytest.approx(expected, rel=1e-5)
    rounded = loss_of(method, "dtype=bfloat16")
    assert rounded != expected
    assert rounded == pytest.approx(expected, rel=0.05)


@pytest.mark.xdist_group("built")
@built
def test_a_resumed_run_would_see_the_same_batches(method):
    whole, resumed = prepared(method).data, prepared(method).data
    whole[0]  # a resumed run has not read what came before
    again, batch = resumed[1], whole[1]
    assert again.names == batch.names
    for name, array in batch.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)


@pytest.mark.xdist_group("built")
@built
def test_its_operations_are_counted_and_its_answer_exports(method):
    run = prepared(method)
    specs = run.task.batch_specs("train")
    fields = specs[min(specs)]
    step = jitted_step(run.task, run.config, run.optimizer, run.target)
    with jax.set_mesh(run.mesh):
        counted = count(step.trace(run.target, abstract_batch(fields, run.mesh)).jaxpr)
    said = run.task.flops("train")
    assert counted > 0
    if said is not None:  # by hand, without the small change
        assert counted == pytest.approx(said, rel=0.5)
    shapes = {
        path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
        for path, leaf in flatten(run.target.variables()).items()
    }
    rows = next(iter(fields.values())).shape[0]
    if method not in FIXED_BATCH:
        rows = symbolic_shape("rows")[0]
    batch = {n: jax.ShapeDtypeStruct((rows, *s.shape[1:]), s.dtype) for n, s in fields.items()}
    exported = export_one(predictor(run.task), shapes, batch, "cpu")
    assert len(exported.serialize()) > 1000
    assert exported.out_avals
