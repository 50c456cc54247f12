"""Pictures of every result."""
