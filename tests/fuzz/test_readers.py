"""Every reader meets a few hundred damaged inputs; harness.py gives it any number."""

import ast
from pathlib import Path

import pytest

from fuzz.harness import failures
from fuzz.readers import MODULES, NOT_FUZZED, READERS

pytestmark = pytest.mark.xdist_group("processes")
PACKAGE = Path(__file__).resolve().parents[2] / "jaxvision"
INPUTS, SEED = 200, 1
# Calls that get at what is in a file.
OPENING = {"read_bytes", "read_text", "read_json", "read_lines", "read_rows", "loads"}
OPENING |= {"frombuffer", "fromfile", "memmap", "ZipFile", "read_pickle", "read_arrays"}


@pytest.mark.parametrize("reader", READERS)
def test_damaged_inputs_are_read_or_refused_in_a_line(reader):
    assert not failures(reader, SEED, 0, INPUTS)


def opens_files(file: Path) -> bool:
    nodes = ast.walk(ast.parse(file.read_text()))
    for call in (node.func for node in nodes if isinstance(node, ast.Call)):
        name = call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "")
        if name in OPENING or (name == "open" and owner(call) in ("", "Image", "av", "path")):
            return True
    return False


def owner(call: ast.expr) -> str:
    value = call.value if isinstance(call, ast.Attribute) else None
    return value.id if isinstance(value, ast.Name) else ""


def test_every_module_that_opens_files_is_known():
    opening = {
        ".".join(file.relative_to(PACKAGE).with_suffix("").parts)
        for part in ("text_files.py", "data/**/*.py", "weights/**/*.py", "training/*.py")
        for file in PACKAGE.glob(part)
        if opens_files(file)
    }
    known = set(MODULES) | set(NOT_FUZZED)
    assert not opening - known, "add a reader to tests/fuzz/readers.py, or say why not"
    assert not known - opening, "no longer opens files"
    assert set(MODULES.values()) <= set(READERS)
