"""CycleACR: actors, context and a memory of the film (2303.16118)."""
