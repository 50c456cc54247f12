"""Features of long videos for temporal action detection (extract_tad_feature.py)."""

import numpy as np
from jaxtyping import Float, Num

from jaxvision.data.resize import resize

# Frames between the starts of neighbouring windows, by the benchmark they were published for.
DATASETS = {"thumos14": 4, "fineaction": 16}


def window_clip(
    frames: Num[np.ndarray, "t h w 3"], size: tuple[int, int]
) -> Float[np.ndarray, "t h2 w2 3"]:
    """A window of consecutive frames as the published features saw it: in [0, 1], stretched to
    `size` whatever its aspect, and without the ImageNet normalisation."""
    return resize(frames, size) / np.float32(255)
