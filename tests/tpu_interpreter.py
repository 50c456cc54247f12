"""The TPU interpreter at its strictest: it looks for races, and what was never written is NaN."""

from jax.experimental.pallas import tpu as pltpu

STRICT = pltpu.InterpretParams(detect_races=True, uninitialized_memory="nan")


def races_found() -> bool:
    """Whether the last kernel that ran with STRICT had a race."""
    # The interpreter keeps its findings to itself.
    from jax._src.pallas.mosaic.interpret import interpret_pallas_call as interpreter

    return interpreter.races.races_found
