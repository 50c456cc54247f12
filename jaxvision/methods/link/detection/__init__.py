"""Boxes in LiDAR scans: CenterPoint with LinK's backbone."""
