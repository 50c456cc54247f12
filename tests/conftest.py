"""Eight simulated devices for every test, and cheap compilation."""

import json
import os
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

# Before jax is imported anywhere. The TPU compiler reads these flags, too, and ends the process at
# its first compilation where it does not know one.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
)
# What one worker, or a command that a test starts, has compiled serves all others of this run. Anew
# for each run: no test passes by what an earlier tree left.
_own_cache = tempfile.mkdtemp(prefix="jaxvision-tests-")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", _own_cache)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
# What programs say of the lines and modules they come from costs a tenth of tracing and lowering.
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
os.environ.setdefault("JAX_INCLUDE_FULL_TRACEBACKS_IN_LOCATIONS", "false")
os.environ.setdefault("FLAX_PROFILE", "false")
sys.path.insert(0, str(Path(__file__).parent))

# XLA's older emitters, where it has them, compile a CPU's training step in half the time. They
# round otherwise: tests with these names compare two programs more closely than that.
COMPILED_AS_USUAL = ("emavfi",)
# A program is compiled in one piece: pieces, for cores that are idle, take a fifth more in all.
IN_ONE_PIECE = {"xla_cpu_parallel_codegen_split_count": 1}
_quick = False


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    global _quick
    _quick = not any(name in item.nodeid for name in COMPILED_AS_USUAL)


def pytest_configure() -> None:
    """Once a process. Not by XLA_FLAGS: the TPU's compiler does not know this one."""
    from jax._src import compiler

    from jaxvision.training.compilation import OLDER_EMITTERS

    usual = compiler.get_compile_options

    def quick(*arguments: Any, **keywords: Any) -> Any:
        options, backend = usual(*arguments, **keywords), keywords.get("backend")
        if backend is not None and backend.platform == "cpu":
            chosen = IN_ONE_PIECE | (OLDER_EMITTERS if _quick else {})
            options.env_option_overrides += chosen.items()
        return options

    compiler.get_compile_options = quick


# Linux gives a process 65,530 memory mappings. A compiled program takes several, and XLA crashes
# where there are no more; so a worker forgets its programs long before.
MOST_MAPPINGS, LOOK_EVERY = 20_000, 16
_tests_run = 0


def pytest_runtest_teardown() -> None:
    global _tests_run
    _tests_run += 1
    mappings = Path("/proc/self/maps")
    if _tests_run % LOOK_EVERY or not mappings.exists() or "jax" not in sys.modules:
        return
    if mappings.read_bytes().count(b"\n") > MOST_MAPPINGS:
        sys.modules["jax"].clear_caches()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--goldens", help="a folder of golden cases instead of tests/goldens")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file's tests run in one worker, which pays once for its fixtures and programs. Those of
    files beside this one (goldens, every recipe) are spread."""
    here = Path(__file__).parent
    for item in items:
        if item.path.parent != here and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.relative_to(here).as_posix()))


def _name(report: pytest.TestReport) -> str:
    """A test's name without the group that pytest-xdist appends."""
    name, _, group = report.nodeid.rpartition("@")
    return name if name and "]" not in group else report.nodeid


def pytest_unconfigure() -> None:
    shutil.rmtree(_own_cache, ignore_errors=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail when what was skipped differs from tests/skips.json."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(session.config, "workerinput"):
        return
    reports = [r for kind in ("passed", "failed", "skipped") for r in reporter.stats.get(kind, ())]
    seen = {_name(report) for report in reports}
    skipped = {_name(report) for report in reporter.stats.get("skipped", ())}
    listed = {
        entry["test"]
        for entry in json.loads(Path(__file__).with_name("skips.json").read_text())
        if find_spec(entry["without"]) is None
    }
    wrong = [f"{test} was skipped: not in tests/skips.json" for test in sorted(skipped - listed)]
    wrong += [f"{test} ran: tests/skips.json says not" for test in sorted(listed & seen - skipped)]
    for line in wrong:
        reporter.write_line(line, red=True)
    if wrong:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
