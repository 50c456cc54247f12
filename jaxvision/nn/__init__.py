"""Flax modules that two or more methods share."""
