"""Pictures of an interpolation: the frames in a row, flows and mask as colours."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, UInt8

from jaxvision.viz.optical_flow import flow_picture

GAP = 2


def to_rgb(image: Float[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """BGR in [0, 1] -> 8-bit RGB, rounded."""
    return np.round(np.clip(np.asarray(image, np.float32), 0, 1) * 255).astype(np.uint8)[..., ::-1]


def mask_picture(mask: Float[np.ndarray, "h w 1"]) -> UInt8[np.ndarray, "h w 3"]:
    """Frame 0's share: white where the answer comes from frame 0, black where from frame 1."""
    grey = np.round(np.clip(np.asarray(mask, np.float32), 0, 1) * 255).astype(np.uint8)
    return np.repeat(grey, 3, axis=-1)


def flow_pictures(
    flow: Float[np.ndarray, "h w 4"],
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]]:
    """Both flows on one scale: from the answer to frame 0, and to frame 1."""
    flow = np.asarray(flow, np.float32)
    lengths = np.linalg.norm(flow.reshape(*flow.shape[:2], 2, 2), axis=-1)
    largest = float(np.percentile(lengths, 99))
    return flow_picture(flow[..., :2], largest), flow_picture(flow[..., 2:], largest)


def row(images: Sequence[UInt8[np.ndarray, "h w 3"]]) -> UInt8[np.ndarray, "h w2 3"]:
    """Pictures side by side, black between them."""
    padded = [np.pad(image, ((0, 0), (0, GAP), (0, 0))) for image in images]
    return np.concatenate(padded, axis=1)[:, :-GAP]


def batch_picture(
    frames: UInt8[np.ndarray, "b 3 h w 3"], outputs: Mapping[str, np.ndarray], most: int = 4
) -> UInt8[np.ndarray, "height width 3"]:
    """A row per sample: first frame, answer, truth, last frame, flow to the first, mask."""
    rows = []
    for sample in range(min(most, len(frames))):
        first, target, last = (np.asarray(frame)[..., ::-1] for frame in frames[sample])
        flow, _ = flow_pictures(outputs["flow"][sample])
        answer, mask = to_rgb(outputs["frame"][sample]), mask_picture(outputs["mask"][sample])
        rows.append(
            np.pad(row([first, answer, target, last, flow, mask]), ((0, GAP), (0, 0), (0, 0)))
        )
    return np.concatenate(rows)
