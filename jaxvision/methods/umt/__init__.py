"""Unmasked Teacher (2303.16058): video models aligned with a frozen image teacher."""
