"""LinK: linear kernels for LiDAR perception (2303.16094)."""
