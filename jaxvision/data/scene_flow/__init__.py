"""Two frames with two clouds of points, and how each pixel and each point moved."""
