"""Every golden case through its runner: `pytest tests/test_goldens.py [--goldens DIR]`."""

import importlib
import pkgutil
from pathlib import Path

import pytest

import golden_runners
from golden_case import RUNNERS, Case

for module in pkgutil.iter_modules(golden_runners.__path__):
    importlib.import_module(f"golden_runners.{module.name}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    folder = Path(metafunc.config.getoption("--goldens") or Path(__file__).parent / "goldens")
    cases = []
    for path in sorted(folder.rglob("*.npz")):
        with_meta = Case.read_meta(path)
        if with_meta is None:
            continue
        weights = sum(_size(shape) for shape in with_meta.get("weights", {}).values())
        # Large models share one worker, so that two never meet in memory; the rest is grouped so
        # that a compiled function is used again.
        group = "large" if weights > 20e6 else f"{with_meta['method']}:{with_meta['component']}"
        cases.append(
            pytest.param(
                path,
                id=f"{with_meta['method']}/{path.stem}",
                marks=pytest.mark.xdist_group(group),
            )
        )
    metafunc.parametrize("path", cases)


def _size(shape: list[int]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


def test_case(path: Path) -> None:
    case = Case(path)
    runner = RUNNERS.get((case.method, case.component))
    assert runner is not None, (
        f"{path.name}: no runner for component {case.component!r} of {case.method!r}"
    )
    runner.check(case)
