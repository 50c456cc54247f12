"""Ten published vision methods as one functional JAX/Flax library."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["class_names", "load"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: the command line's help must not wait for jax.
    if name in __all__:
        from jaxvision import loading, trained_names

        return loading.load if name == "load" else trained_names.class_names
    raise AttributeError(f"module 'jaxvision' has no attribute {name!r}")
