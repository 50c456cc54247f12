"""Two clouds and the motion between them, as a page to turn, and errors of optical flow as a
picture."""

import numpy as np
from jaxtyping import Bool, Float, UInt8

from jaxvision.viz.boxes import BoxDrawing
from jaxvision.viz.cloud_page import Motion, cloud_page
from jaxvision.viz.optical_flow import flow_picture

FIRST, SECOND = (90, 150, 255), (255, 160, 70)
MOST_ARROWS = 4000
# Errors of KITTI's development kit: of 3 pixels and 5 % from here on they count as wrong.
PIXELS, SHARE = 3.0, 0.05
# From half of nothing to 16 times what counts as wrong, doubling: blue to red.
STEPS = (
    *((49, 54, 149), (69, 117, 180), (116, 173, 209), (171, 217, 233), (224, 243, 248)),
    *((254, 224, 144), (253, 174, 97), (244, 109, 67), (215, 48, 39), (165, 0, 38)),
)
FIRST_STEP = 0.0625  # up to which errors, as a multiple of what counts as wrong, are the bluest


def motion_page(
    title: str,
    first: Float[np.ndarray, "n 3"],
    second: Float[np.ndarray, "m 3"],
    flow: Float[np.ndarray, "n 3"],
) -> str:
    """Both clouds (blue, orange) of a camera's coordinates, and lines from the first cloud's points
    to where they go, in the colours of their direction from above. Of more than 4,000 points an
    even part has lines."""
    both = upright(np.concatenate([first, second]))
    shades = np.repeat(np.asarray([FIRST, SECOND], np.uint8), [len(first), len(second)], axis=0)
    step = -(-len(first) // MOST_ARROWS)
    start, moved = first[::step], flow[::step]
    ends = np.stack([upright(start), upright(start + moved)], axis=1)
    colours = flow_picture(moved[None][..., (0, 2)])[0]
    length = float(np.linalg.norm(flow, axis=1).mean()) if len(flow) else 0.0
    summary = f"blue: {len(first)} points; orange: {len(second)}; mean motion {length:.3f} m"
    none = np.zeros((0, 9), np.float32)
    drawing = BoxDrawing(none, np.zeros((0, 3), np.uint8), (), none)
    motion = Motion(shades, ends, colours, summary, framed=True)
    return cloud_page(title, both, drawing, np.zeros(0, np.float32), motion=motion)


def upright(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Of a camera (x right, y down, z forward) to x forward, y left, z up."""
    return np.stack([points[:, 2], -points[:, 0], -points[:, 1]], axis=1)


def error_picture(
    flow: Float[np.ndarray, "h w 2"],
    truth: Float[np.ndarray, "h w 2"],
    valid: Bool[np.ndarray, "h w"],
) -> UInt8[np.ndarray, "h w 3"]:
    """Blue where an error is below 3 pixels or 5 % of the true length, red above; a colour for each
    doubling. Black where there is no truth."""
    error = np.linalg.norm(flow - truth, axis=-1)
    wrong = np.minimum(error / PIXELS, error / (SHARE * np.linalg.norm(truth, axis=-1) + 1e-9))
    with np.errstate(divide="ignore", invalid="ignore"):
        place = np.log2(np.nan_to_num(wrong, nan=np.inf) / FIRST_STEP) + 1
    place = np.clip(np.nan_to_num(place, neginf=0), 0, len(STEPS) - 1).astype(int)
    return np.where(valid[..., None], np.asarray(STEPS, np.uint8)[place], np.uint8(0))
