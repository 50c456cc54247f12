"""What conftest.py adds to every compilation for the CPU: once, and not for all tests."""

import jax
import pytest
from jax._src import compiler

from jaxvision.training.compilation import OLDER_EMITTERS

IN_ONE_PIECE = "xla_cpu_parallel_codegen_split_count"


def overrides() -> list[str]:
    client = jax.devices()[0].client
    return [
        name for name, _ in compiler.get_compile_options(1, 1, backend=client).env_option_overrides
    ]


@pytest.mark.parametrize("test", ["first", "next"])
def test_the_quick_emitters_are_asked_for_once(test):
    assert overrides() == [IN_ONE_PIECE, *OLDER_EMITTERS]


def test_emavfi_is_compiled_as_usual():
    assert overrides() == [IN_ONE_PIECE]
