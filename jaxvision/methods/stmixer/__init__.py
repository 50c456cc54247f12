"""STMixer: a one-stage sparse action detector (arXiv 2303.15879)."""
