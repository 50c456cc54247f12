"""Sources, transforms and the loader. Nothing here imports jax."""
