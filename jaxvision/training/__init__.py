"""The engine: trains, evaluates and checkpoints any task, and knows no method."""
