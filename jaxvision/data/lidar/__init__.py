"""LiDAR scans: files in their owners' layouts, classes, voxels, augmentation, made-up streets."""
