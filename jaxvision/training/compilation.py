"""How XLA compiles what a run needs."""

from collections.abc import Mapping

import jax
from ml_collections import ConfigDict

# The older of two makers of a CPU's code, which takes half the time. JAX 0.11's XLA has the newer
# one alone, and refuses the option.
OLDER_EMITTERS = {} if jax.__version_info__ >= (0, 11) else {"xla_cpu_use_fusion_emitters": False}
QUICK = {"xla_backend_optimization_level": 1, **OLDER_EMITTERS}


def as_flags(options: Mapping[str, int | bool]) -> str:
    """Options as XLA_FLAGS has them."""
    return " ".join(f"--{name}={value}".lower() for name, value in options.items())


def compiler_options(config: ConfigDict) -> dict[str, int | bool] | None:
    """On a CPU, with `config.quick_compilation`, those that compile a program of thousands of small
    operations in a third of the time; its convolutions and products are as fast as otherwise,
    what is left is slower. None for XLA's own."""
    quick = config.get("quick_compilation", False) and jax.default_backend() == "cpu"
    return dict(QUICK) if quick else None
