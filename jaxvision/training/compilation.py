"""How XLA compiles what a run needs."""

import jax
from ml_collections import ConfigDict

QUICK = {"xla_backend_optimization_level": 1, "xla_cpu_use_fusion_emitters": False}


def compiler_options(config: ConfigDict) -> dict[str, int | bool] | None:
    """On a CPU, with `config.quick_compilation`, those that compile a program of thousands of small
    operations in a third of the time; its convolutions and products are as fast as otherwise,
    what is left is slower. None for XLA's own."""
    quick = config.get("quick_compilation", False) and jax.default_backend() == "cpu"
    return dict(QUICK) if quick else None
