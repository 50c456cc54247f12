"""Official SparseFormer files in and out, under both code bases' names; inflation."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxvision.errors import InputError
from jaxvision.methods.sparseformer.architecture import PLAIN, Unit, paper_units
from jaxvision.methods.sparseformer.model import SparseFormer
from jaxvision.methods.sparseformer.variants import PUBLISHED, VARIANTS, find_variant
from jaxvision.methods.sparseformer.weights import (
    entries_of,
    inflate,
    inflated,
    to_package_name,
    to_paper_name,
)
from jaxvision.networks import official_model, recognise
from jaxvision.weights import convert, to_variables
from jaxvision.weights.checkpoint_file import write_checkpoint
from jaxvision.weights.mapping import flatten
from round_trip import assert_same, official_tensors

# Parameters of the released files.
COUNTS = {
    "tiny": 31_522_212,
    "small": 47_575_056,
    "base": 81_076_996,
    "btsp_augreg_base": 64_185_448,
    "btsp_augreg_large": 212_426_984,
    "btsp_openai_clip_base": 63_809_664,
    "btsp_openai_clip_large": 212_188_476,
}


def shapes_of(architecture) -> dict:
    model = SparseFormer(architecture)
    size = (1, *([2] * (architecture.dimensions - 2)), 32, 32, 3)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(size))
    return {p: tuple(leaf.shape) for p, leaf in flatten(nn.unbox(variables)).items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_described_in_full(variant):
    entries = official_model(f"sparseformer/{variant}").entries
    assert convert.our_shapes(entries) == shapes_of(find_variant(variant))
    if variant in COUNTS:
        assert sum(int(np.prod(e.shape)) for e in entries) == COUNTS[variant]


def test_published_files_have_names_of_their_own():
    assert len({row.file for row in PUBLISHED}) == len(PUBLISHED) == 10


def test_the_paper_and_the_package_name_the_same_tensors():
    paper, package = (find_variant(name) for name in ("tiny", "v1_tiny"))
    theirs = {e.name: e.shape for e in entries_of(package)}
    renamed = {to_package_name(e.name): e.shape for e in entries_of(paper)}
    assert renamed == theirs
    assert [to_paper_name(to_package_name(e.name)) for e in entries_of(paper)] == [
        e.name for e in entries_of(paper)
    ]


@pytest.mark.xdist_group("large")
def test_files_come_back_byte_for_byte_in_either_naming(tmp_path):
    network = official_model("sparseformer/tiny")
    tensors = official_tensors(network)
    write_checkpoint(tmp_path / "paper.pth", tensors, "model")
    converted = convert.from_file(tmp_path / "paper.pth", network)
    convert.to_file(tmp_path / "back.pth", converted, network)
    assert_same(tmp_path / "back.pth", tensors)
    convert.to_file(tmp_path / "package.pth", converted, network, "package")
    package = official_model("sparseformer/v1_tiny")
    given = convert.from_file(tmp_path / "package.pth", package)
    assert given.origin.layout == "official"
    for path, leaf in flatten(converted.variables).items():
        np.testing.assert_array_equal(flatten(given.variables)[path], leaf)
    assert recognise(tensors, "file").name == "sparseformer/tiny"


def test_a_misspelt_variant_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'btsp_augreg_base'"):
        official_model("sparseformer/btsp_augreg_bas")


def small(**changes):
    units = paper_units((32, 64), 2, repeats=2)
    return dataclasses.replace(
        find_variant("v1_tiny"), tokens=9, points=9, channels=8, units=units, **changes
    )


def test_an_inflated_still_clip_is_the_image():
    """Frames that are all alike, r = 1: points stay at mid time, where trilinear is bilinear."""
    still = small(outputs=5)
    rng = np.random.default_rng(0)
    tensors = {e.name: 0.1 * rng.standard_normal(e.shape, np.float32) for e in entries_of(still)}
    image = rng.standard_normal((1, 32, 32, 3), np.float32)

    def answer(architecture, tensors, images):
        variables = to_variables(tensors, entries_of(architecture))[0]
        return jax.jit(SparseFormer(architecture).apply)(variables, images)

    clip = np.repeat(image[:, None], 2, axis=1)
    moving = answer(inflated(still, 1), inflate(tensors, 1), clip)
    np.testing.assert_allclose(moving, answer(still, tensors, image), rtol=1e-4, atol=1e-5)


def test_a_class_token_in_front_of_a_unit_that_samples_is_refused():
    with pytest.raises(InputError, match="unit 1 does adjust, sample, for which the class token"):
        small(class_token_before=1)
    with pytest.raises(InputError, match="did you mean 'attention'"):
        dataclasses.replace(small(), units=(Unit(32, ("atention",)),))
    with pytest.raises(InputError, match="width 96 does not divide into 64 heads"):
        dataclasses.replace(small(), units=(Unit(96, PLAIN),))
