"""A made-up pair, again and again, in the layout of KITTI scene flow 2015 with the disparities and
the semantics that CamLiFlow distributes."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from jaxvision.data import pictures
from jaxvision.data.flow_files import write_disparity_png, write_flow_png
from jaxvision.data.scene_flow.kitti import BASELINE
from jaxvision.data.scene_flow.moving_planes import MovingPlanes


def write_kitti(
    root: Path, numbers: Iterable[int], part: str = "training", size: tuple[int, int] = (128, 160)
) -> None:
    """numbers: of its records.  part: training, which has truth, or testing."""
    planes = MovingPlanes(pictures.built_in("train"), size, 1, planes=1)
    pair, f = planes[0], planes.camera.f
    now, after = (cloud[:, 2].reshape(size) for cloud in pair.clouds)
    moved = now + pair.flow_3d[:, 2].reshape(size)
    made = root / "made"
    made.mkdir(parents=True)
    for number, image in enumerate(pair.images):
        Image.fromarray(image).save(made / f"image_{number}", "PNG")
    for name, depth in (("now", now), ("after", after), ("moved", moved)):
        write_disparity_png(made / name, BASELINE * f / depth)
    write_flow_png(made / "flow", pair.flow_2d[..., :2])
    background = np.full(size, 7, np.uint8)
    background[:, : size[1] // 3] = 26  # a car
    Image.fromarray(background).save(made / "labels", "PNG")
    Image.fromarray((background == 26).astype(np.uint8)).save(made / "objects", "PNG")
    rows = f"{f} 0 {planes.camera.cx} 45 0 {f} {planes.camera.cy} -0.3 0 0 1 0.005"
    (made / "calibration").write_text(f"P_rect_02: {rows}\n")
    files = {
        "image_0": "image_2/{:06d}_10.png",
        "image_1": "image_2/{:06d}_11.png",
        "now": "disp_ganet/{:06d}_10.png",
        "after": "disp_ganet/{:06d}_11.png",
        "labels": "semantic_ddr/{:06d}_10.png",
        "calibration": "calib_cam_to_cam/{:06d}.txt",
    }
    truth = {
        "now": "disp_occ_0/{:06d}_10.png",
        "moved": "disp_occ_1/{:06d}_10.png",
        "flow": "flow_occ/{:06d}_10.png",
        "objects": "obj_map/{:06d}_10.png",
    }
    listed = [*files.items(), *(truth.items() if part == "training" else ())]
    for name, pattern in listed:
        (root / part / pattern).parent.mkdir(parents=True, exist_ok=True)
        for number in numbers:
            os.link(made / name, root / part / pattern.format(number))
