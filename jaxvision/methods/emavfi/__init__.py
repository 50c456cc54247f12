"""EMA-VFI: video frame interpolation by inter-frame attention (2303.00440)."""
