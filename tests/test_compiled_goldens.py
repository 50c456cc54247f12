"""Shardings, collectives and memory of one recipe per method, as the TPU's compiler made them."""

import pytest

from compiled_goldens import (
    FOLDER,
    RECIPES,
    memory,
    path_of,
    render,
    shardings_of,
    small_program,
    versions,
    without_memory,
)
from jaxvision.registry import METHODS

pytestmark = pytest.mark.xdist_group("tpu_compiler")


def test_every_method_that_runs_has_one():
    running = {name for name, method in METHODS.items() if method.status != "planned"}
    assert {recipe.split("/")[0] for recipe in RECIPES} == running
    assert {path_of(recipe) for recipe in RECIPES} == set(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_sharded_as_before(recipe):
    lines = path_of(recipe).read_text().splitlines()
    found = shardings_of(small_program(recipe))
    assert found == lines[-len(found) :]


@pytest.mark.parametrize("recipe", RECIPES)
def test_compiled_as_before(recipe):
    """`python -m tests.compiled_goldens` writes what is found; its diff is for review.

    Other versions than the golden's (constraints.txt pins those) may choose other collectives, but
    must not need much more memory.
    """
    expected, found = path_of(recipe).read_text(), render(recipe)
    before, now = memory(expected), memory(found)
    assert before.keys() == now.keys() == {"peak", "arguments"}
    if expected.startswith(versions()):
        assert without_memory(found) == without_memory(expected)
        assert now == pytest.approx(before, rel=0.02)
    else:
        assert now["peak"] <= 1.25 * before["peak"]
