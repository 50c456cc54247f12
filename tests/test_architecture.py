"""The arrows of docs/architecture.md, and what importing may cost."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from jaxvision.cli.main import VERBS

ROOT = Path(__file__).resolve().parents[1] / "jaxvision"

# What each part may import, beside itself. These are open to all:
OPEN = {"errors", "text_files", "stores", "__version__"}
ALLOWED = {
    "errors": set(),
    "text_files": set(),
    "stores": set(),
    "ops": set(),
    "weights": {"ops"},
    "nn": {"ops"},
    "metrics": {"ops"},
    "data": {"ops", "weights"},
    "viz": {"data"},
    "training": {"data", "metrics", "viz", "nn", "ops", "weights"},
    "tasks": {"training", "data", "metrics", "viz", "nn", "ops"},
    "methods": {"tasks", "training", "data", "metrics", "viz", "nn", "ops", "weights"},
    "registry": {"training", "tasks", "methods"},
    "planning": {"training", "viz"},
    "downloads": {"data"},
    "networks": {"registry", "weights", "methods", "data", "downloads"},
    "trained_names": {"networks", "training", "weights", "data", "export", "downloads"},
    "loading": {"networks", "trained_names", "registry", "training", "weights", "downloads"},
    "export": {"training", "weights", "data"},
    "cli": {
        "registry",
        "networks",
        "loading",
        "export",
        "downloads",
        "planning",
        "training",
        "data",
        "metrics",
        "viz",
        "nn",
        "ops",
        "weights",
    },
    "__main__": {"cli"},
    "__init__": {"loading", "trained_names"},
}
FILES = sorted(ROOT.rglob("*.py"))


def imports(file: Path) -> set[str]:
    """Full names of the package's modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{file}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "jaxvision"}


def part_of(name: str) -> str:
    return name.split(".")[1] if "." in name else "__init__"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_arrows_point_one_way(file):
    mine = file.relative_to(ROOT).parts
    part = mine[0].removesuffix(".py")
    wrong = {name for name in imports(file) if part_of(name) not in ALLOWED[part] | {part} | OPEN}
    assert not wrong
    if part == "methods" and len(mine) > 2:
        others = {name for name in imports(file) if part_of(name) == "methods"}
        sideways = {name for name in others if name.split(".")[2] != mine[1]}
        assert not sideways, "a method knows no other method"


def module_of(name: str) -> Path | None:
    """The file that a full name (of a module, or of something in it) lives in."""
    parts = name.split(".")[1:]
    for count in range(len(parts), -1, -1):
        base = ROOT.joinpath(*parts[:count])
        for file in (base.with_suffix(".py"), base / "__init__.py"):
            if file in FILES:
                return file
    return None


def test_no_circle_between_files():
    """Lazy imports and those for type checking count: `imports` walks the whole file."""
    graph = {
        file: {other for name in imports(file) if (other := module_of(name))} - {file}
        for file in FILES
    }
    with pytest.raises(CycleError):
        TopologicalSorter({**graph, FILES[0]: {FILES[1]}, FILES[1]: {FILES[0]}}).prepare()
    TopologicalSorter(graph).prepare()  # names the files of a circle


def test_one_reader_of_pictures():
    """Another would know nothing of orientations, depths and what is to be said of them."""
    opening = {f.relative_to(ROOT).as_posix() for f in FILES if "Image.open" in f.read_text()}
    assert opening == {"data/picture_files.py"}


def test_no_file_has_a_name_that_tells_nothing():
    assert not [f for f in FILES if f.stem in ("utils", "util", "helpers", "common", "misc")]


# Functions that take any number of like things.
VARIADIC = ("constrain", "reshape", "transpose", "add_row", "Table", "pack")


def crowded_calls(source: str) -> list[int]:
    """The lines of calls with more than five positional arguments."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = (getattr(call.func, "attr", getattr(call.func, "id", "")) for call in calls)
    return [
        call.lineno
        for call, name in zip(calls, names, strict=True)
        if len(call.args) > 5 and name not in VARIADIC
    ]


def test_arguments_beyond_the_fifth_have_names():
    """Kernels, and the rules of gradients beside them, take their arrays in order."""
    assert crowded_calls("f(1, 2, 3, 4, 5)\ng(1, 2, 3, 4, 5, 6)\nx.reshape(1, 2, 3, 4, 5, 6)") == [
        2
    ]
    kernels = {file for folder in (ROOT / "ops").iterdir() for file in folder.glob("[!_]*.py")}
    kernels -= set(ROOT.glob("ops/*/argument_specs.py"))
    found = {str(file): crowded_calls(file.read_text()) for file in set(FILES) - kernels}
    assert not {file: lines for file, lines in found.items() if lines}


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_does_not_import_jax(verb):
    code = (
        "import sys; from jaxvision.cli.main import main\n"
        f"try: main({[verb, '--help'] if verb else ['--help']!r})\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'jax', 'flax', 'orbax', 'grain'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: jaxvision" in done.stdout
