"""KITTI scene flow 2015 in its owner's layout, with the disparities that CamLiFlow distributes.

ROOT/{training,testing}/image_2/%06d_{10,11}.png, calib_cam_to_cam/%06d.txt, and of training
flow_occ, disp_occ_0, disp_occ_1/%06d_10.png; disp_ganet/%06d_{10,11}.png for inference.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8

from jaxvision.data.flow_files import read_calibration, read_disparity_png, read_flow_png
from jaxvision.data.picture_files import read_picture
from jaxvision.data.scene_flow.frames import FramePair, check_sizes
from jaxvision.data.scene_flow.geometry import Camera, inside, lift_disparity, project
from jaxvision.errors import InputError, check_choice

BASELINE = 0.54  # metres
PADDED = (376, 1242)  # height and width that all pictures fit in
SEED = 23333  # of the points that evaluations draw
SPLITS = {
    "training200": ("training", tuple(range(200))),
    "training160": ("training", tuple(i for i in range(200) if i % 5)),
    "training40": ("training", tuple(range(0, 200, 5))),
    "testing200": ("testing", tuple(range(200))),
}


def read_camera(path: Path) -> Camera:
    """Of a calibration file, as of rectified pictures, whose focal length is one for both axes.
    InputError names one that has two, or one that is not above 0."""
    projection = read_calibration(path)
    camera = Camera(*(float(projection[at]) for at in ((0, 0), (0, 2), (1, 2))))
    if not camera.f > 0:
        raise InputError(f"{path}: a focal length of {camera.f:g}, expected above 0")
    if not np.isclose(camera.f, projection[1, 1], rtol=1e-3):
        raise InputError(
            f"{path}: focal lengths of {camera.f} and {projection[1, 1]} pixels, expected one for "
            "both axes: rectify and resize the pictures first"
        )
    return camera


@dataclass(frozen=True)
class KittiFrames:
    """One part of the data set. root: what holds `training` and `testing`."""

    root: Path
    split: str

    def __post_init__(self) -> None:
        check_choice("unknown split of KITTI", self.split, SPLITS)

    def __len__(self) -> int:
        return len(SPLITS[self.split][1])

    def number(self, index: int) -> int:
        """The data set's number of a record."""
        return SPLITS[self.split][1][index]

    def file(self, folder: str, index: int, suffix: str) -> Path:
        """A file of a record. InputError where it is not there."""
        path = self._path(folder, index, suffix)
        if not path.is_file():
            raise InputError(f"{path}: no such file, which KITTI's {folder} should hold")
        return path

    def files(self) -> list[Path]:
        """Where the first picture of every record is expected."""
        return [self._path("image_2", index, "_10.png") for index in range(len(self))]

    def _path(self, folder: str, index: int, suffix: str) -> Path:
        return self.root / SPLITS[self.split][0] / folder / f"{self.number(index):06d}{suffix}"

    def name(self, index: int) -> str:
        return f"{SPLITS[self.split][0]}/{self.number(index):06d}"

    def camera(self, index: int) -> Camera:
        return read_camera(self.file("calib_cam_to_cam", index, ".txt"))

    def images(self, index: int) -> UInt8[np.ndarray, "2 h w 3"]:
        paths = (self.file("image_2", index, f"_{frame}.png") for frame in (10, 11))
        first, second = (np.asarray(read_picture(path)) for path in paths)
        check_sizes(self.name(index), {"first picture": first, "second picture": second})
        return np.stack([first, second])

    def with_truth(self, index: int) -> FramePair:
        """For training: points are the pixels whose disparities and flow are all known, the second
        cloud those points after their motion, less those that left the picture."""
        images, camera = self.images(index), self.camera(index)
        flow, flow_valid = read_flow_png(self.file("flow_occ", index, "_10.png"))
        first, second = (
            read_disparity_png(self.file(f"disp_occ_{number}", index, "_10.png"))
            for number in range(2)
        )
        maps = {"pictures": images[0], "disp_occ_0": first, "disp_occ_1": second, "flow_occ": flow}
        check_sizes(self.name(index), maps)
        known = (first > 0) & (second > 0) & flow_valid
        start = lift_disparity(first, camera, BASELINE)[known]
        end = lift_disparity(second, camera, BASELINE, flow)[known]
        size = images.shape[1:3]
        return FramePair(
            images=images,
            clouds=(start, end[inside(project(end, camera), size)]),
            camera=camera,
            size=size,
            flow_2d=np.concatenate([flow, flow_valid[..., None]], axis=-1, dtype=np.float32),
            flow_3d=np.concatenate(
                [end - start, np.ones((len(start), 1))], axis=-1, dtype=np.float32
            ),
            name=self.name(index),
        ).padded(PADDED)

    def with_estimated_depth(
        self, index: int, farthest: float, skip_rows: int = 110, highest: float = 2.0
    ) -> FramePair:
        """For inference: each frame's own points by the distributed disparities.

        farthest: in metres.  skip_rows: rows at the top whose points are left out.  highest: points
        so many metres above the camera are, too.
        """
        images, camera = self.images(index), self.camera(index)
        clouds = []
        for frame in (10, 11):
            disparity = read_disparity_png(self.file("disp_ganet", index, f"_{frame}.png"))
            check_sizes(self.name(index), {"pictures": images[0], "disp_ganet": disparity})
            points = lift_disparity(disparity, camera, BASELINE)
            kept = _kept(points, farthest, highest) & (disparity > 0)
            kept[:skip_rows] = False
            clouds.append(points[kept])
        return FramePair(
            images=images,
            clouds=(clouds[0], clouds[1]),
            camera=camera,
            size=images.shape[1:3],
            name=self.name(index),
        ).padded(PADDED)


def _kept(
    points: Float[np.ndarray, "h w 3"], farthest: float, highest: float
) -> Bool[np.ndarray, "h w"]:
    return (points[..., 2] < farthest) & (points[..., 1] > -highest)
