"""CamLiFlow: optical flow and scene flow from a camera and a LiDAR (2303.12017)."""
