"""Weights that their authors published: found by name, fetched, kept, verified."""
