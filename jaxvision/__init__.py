"""Ten published vision methods as one functional JAX/Flax library."""

__version__ = "0.1.0"
