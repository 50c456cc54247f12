"""No recipe changes unseen: its settings and parameters are committed as text."""

import difflib

import pytest

import text_goldens
from jaxvision.training.config import recipes


@pytest.mark.parametrize("name", text_goldens.names())
def test_what_a_recipe_resolves_to(name):
    path = text_goldens.path_of(name)
    committed = path.read_text() if path.is_file() else ""
    lines = difflib.unified_diff(
        committed.splitlines(), text_goldens.render(name).splitlines(), "committed", "now", n=1
    )
    shown = "\n".join(lines)
    assert not shown, f"{path.name} (python -m tests.text_goldens writes it anew):\n{shown}"


def test_no_golden_outlives_its_recipe():
    files = {path.relative_to(text_goldens.FOLDER) for path in text_goldens.FOLDER.rglob("*.txt")}
    assert {str(file.with_suffix("")) for file in files} == {text_goldens.ENGINE, *recipes()}
