"""The command line: one file per verb. Nothing here imports jax before a verb runs."""
