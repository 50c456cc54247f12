"""Eight simulated devices for every test, and cheap compilation."""

import os
import sys
from pathlib import Path

# Before jax is imported anywhere.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
)
sys.path.insert(0, str(Path(__file__).parent))

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--goldens", help="a folder of golden cases instead of tests/goldens")
