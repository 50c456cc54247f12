"""A real pair whose motion is known: the motorcycle of Middlebury's stereo benchmark of 2014, which
comes with scikit-image (741 x 500 pixels), seen by the left eye and then by the right one.

Nothing moves but the camera: every point goes left by the distance of the eyes, and every pixel by
its disparity.
"""

import numpy as np
from PIL import Image

from jaxvision.data.arrays import read_arrays
from jaxvision.data.picture_files import read_picture
from jaxvision.data.pictures import package_folder
from jaxvision.data.scene_flow.frames import FramePair
from jaxvision.data.scene_flow.geometry import Camera, inside, lift_depth, project

# As scikit-image tells them, in pixels and metres.
CAMERA, BASELINE = Camera(994.978, 311.193, 254.877), 0.193001
OFFSET = 31.086  # of the right view's principal point from the left one's, in x
WINDOW = (500, 700)  # of both views, the right one from OFFSET on, so that one camera sees both
SCALE = 0.28


def motorcycle() -> FramePair:
    """Both views at 196 x 140 pixels: flow of up to 26, clouds 2 to 5 m away of all pixels whose
    disparity is known; the second has what the right view still sees."""
    folder, shift = package_folder("skimage") / "data", round(OFFSET)
    height, width = (round(side * SCALE) for side in WINDOW)
    images = []
    for name, left in (("left", 0), ("right", shift)):
        picture = read_picture(folder / f"motorcycle_{name}.png")
        box = (left, 0, left + WINDOW[1], WINDOW[0])
        small = picture.resize((width, height), Image.Resampling.LANCZOS, box=box)
        images.append(np.asarray(small))
    (disparity,) = read_arrays(folder / "motorcycle_disp.npz").values()
    rows, columns = (
        np.floor((np.arange(side) + 0.5) / SCALE).astype(int) for side in (height, width)
    )
    disparity = disparity[rows[:, None], columns]
    known = np.isfinite(disparity)  # infinite where nobody measured it
    camera = Camera(
        CAMERA.f * SCALE, (CAMERA.cx + 0.5) * SCALE - 0.5, (CAMERA.cy + 0.5) * SCALE - 0.5
    )
    flow = np.zeros((height, width, 3), np.float32)
    flow[known, 0] = -SCALE * (disparity[known] + shift)
    flow[known, 2] = 1
    depth = np.float32(CAMERA.f * BASELINE) / (disparity + np.float32(OFFSET))
    first = lift_depth(depth, camera)[known]
    motion = np.asarray([-BASELINE, 0, 0], np.float32)
    second = first + motion
    second = second[inside(project(second, camera), (height, width))]
    return FramePair(
        images=np.stack(images),
        clouds=(first, second),
        camera=camera,
        size=(height, width),
        flow_2d=flow,
        flow_3d=np.broadcast_to(motion, first.shape),
        name="motorcycle",
    )
