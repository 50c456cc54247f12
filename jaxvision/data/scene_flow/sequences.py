"""One's own frames: a JSON file that names pictures, what is known of depth, and the camera.

    {"camera": [721.5, 609.6, 172.9], "frames": [
        {"image": "0.png", "cloud": "0.bin"}, {"image": "1.png", "cloud": "1.bin"}],
     "lidar_to_camera": [[...], [...], [...]]}

camera: focal length and principal point in pixels, or a file with KITTI's line P_rect_02.
Of every frame one of cloud (.npy [n, 3 or more], or .bin of a KITTI LiDAR), depth (metres: .npy,
.pfm, .dpt, or a 16-bit PNG of 1/256) or disparity (pixels: the same but .dpt; with `baseline`).
lidar_to_camera: three rows of four; what brings clouds to the camera. flow_2d: files of the true
flow to the next frame (.flo, .pfm or KITTI's PNG), where known. Names are relative to the file.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxvision.data.arrays import read_arrays
from jaxvision.data.flow_files import (
    known,
    read_disparity_png,
    read_dpt,
    read_flo,
    read_flow_png,
    read_pfm,
)
from jaxvision.data.picture_files import read_picture
from jaxvision.data.scene_flow.frames import FramePair, check_sizes
from jaxvision.data.scene_flow.geometry import Camera, lift_depth, lift_disparity
from jaxvision.data.scene_flow.kitti import read_camera
from jaxvision.errors import InputError, check_choice, reading
from jaxvision.text_files import read_json

LEAST_SIDE = 64
FRAME: dict[str, type] = {"image?": str, "cloud?": str, "depth?": str, "disparity?": str}
SHAPE: dict[str, Any] = {
    "camera": object,
    "frames": [FRAME],
    "baseline?": float,
    "lidar_to_camera?": [[float]],
    "flow_2d?": [str],
}
KINDS = ("cloud", "depth", "disparity")
MOST_COLUMNS = 32  # of a cloud: more are a map of depth


@dataclass(frozen=True)
class Sequence:
    """The pairs of neighbouring frames that `file` describes. baseline: where it names none.
    farthest: points beyond it are left out, in metres."""

    file: Path
    baseline: float
    farthest: float

    @cached_property
    def table(self) -> dict[str, Any]:
        table = read_json(self.file, SHAPE)
        frames, flows = table["frames"], table.get("flow_2d", [])
        for part, keys in ((table, SHAPE), *((frame, FRAME) for frame in frames)):
            for name in part:
                check_choice(f"{self.file}: unknown key", name, [k.rstrip("?") for k in keys])
        if table.get("baseline", 1) <= 0:
            raise InputError(
                f"{self.file}: baseline {table['baseline']}: expected above 0 (metres)"
            )
        if len(frames) < 2:
            raise InputError(f"{self.file}: {len(frames)} frames, expected two or more")
        if flows and len(flows) != len(frames) - 1:
            raise InputError(f"{self.file}: {len(flows)} files of flow for {len(frames) - 1} pairs")
        for number, frame in enumerate(frames):
            if not frame or sum(kind in frame for kind in KINDS) > 1:
                raise InputError(
                    f"{self.file}: frame {number} has {sorted(frame)}; expected an image and one "
                    f"of {', '.join(KINDS)}"
                )
        return table

    def __len__(self) -> int:
        return len(self.table["frames"]) - 1

    @cached_property
    def camera(self) -> Camera:
        """InputError where the focal length is not above 0, or three numbers are not given."""
        given = self.table["camera"]
        if isinstance(given, str):
            return read_camera(self._path(given))
        numbers = isinstance(given, list) and all(type(x) in (int, float) for x in given)
        if not numbers or len(given) != 3 or not np.isfinite(given).all():
            raise InputError(f"{self.file}: camera: expected [f, cx, cy] or a calibration file")
        if given[0] <= 0:
            raise InputError(f"{self.file}: camera: a focal length of {given[0]}, expected above 0")
        return Camera(*map(float, given))

    def _path(self, name: str) -> Path:
        path = self.file.parent / name
        if not path.is_file():
            raise InputError(f"{path}: no such file, which {self.file.name} names")
        return path

    def pair(self, number: int, images: bool, points: bool) -> FramePair:
        """Frames `number` and the next. images, points: what is needed; InputError where the file
        does not name it, or frames differ in size."""
        name, frames = f"{self.file}, pair {number}", self.table["frames"][number : number + 2]
        pictures = [np.zeros((LEAST_SIDE, LEAST_SIDE, 3), np.uint8)] * 2
        if images or all("image" in frame for frame in frames):
            pictures = [self._image(frame, number + n) for n, frame in enumerate(frames)]
        check_sizes(name, {"first picture": pictures[0], "second picture": pictures[1]})
        size = (pictures[0].shape[0], pictures[0].shape[1])
        if min(size) < LEAST_SIDE:
            raise InputError(f"{name}: {size[0]} x {size[1]} pixels, expected {LEAST_SIDE} a side")
        none = np.zeros((0, 3), np.float32)
        seen = pictures if all("image" in frame for frame in frames) else [None, None]
        clouds = []
        if points:
            clouds = [
                self._cloud(*given)
                for given in zip(frames, range(number, number + 2), seen, strict=True)
            ]
        flow = None
        if self.table.get("flow_2d"):
            flow = self._flow(self._path(self.table["flow_2d"][number]))
            check_sizes(name, {"pictures": pictures[0], "flow_2d": flow})
        return FramePair(
            images=np.stack(pictures),
            clouds=(clouds[0], clouds[1]) if clouds else (none, none),
            camera=self.camera,
            size=size,
            flow_2d=flow,
            name=name,
        )

    def _image(self, frame: dict[str, str], number: int) -> np.ndarray:
        if "image" not in frame:
            raise InputError(f"{self.file}: frame {number} names no image")
        return np.asarray(read_picture(self._path(frame["image"])))

    def _cloud(
        self, frame: dict[str, str], number: int, picture: np.ndarray | None
    ) -> Float[np.ndarray, "n 3"]:
        """Points before the camera, near enough. picture: of the frame; maps have its size."""
        kind = next((kind for kind in KINDS if kind in frame), None)
        if kind is None:
            raise InputError(f"{self.file}: frame {number} names none of {', '.join(KINDS)}")
        path = self._path(frame[kind])
        if kind == "cloud":
            points = self._in_camera(read_cloud(path))
        else:
            values = read_map(path)
            if picture is not None:
                check_sizes(f"{path}, {self.file.name}", {"picture": picture, kind: values})
            points = self._lifted(values, kind).reshape(-1, 3)
        return points[~(points[:, 2] > self.farthest)]

    def _lifted(self, values: Float[np.ndarray, "h w"], kind: str) -> Float[np.ndarray, "h w 3"]:
        """Points of a map of depth or of disparity."""
        if kind == "depth":
            return lift_depth(values, self.camera)
        baseline = self.table.get("baseline", self.baseline)
        return lift_disparity(np.where(values > 0, values, np.nan), self.camera, baseline)

    def _in_camera(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        rows = self.table.get("lidar_to_camera")
        if rows is None:
            return points
        if [len(row) for row in rows] != [4, 4, 4]:
            raise InputError(f"{self.file}: lidar_to_camera: expected three rows of four numbers")
        matrix = np.asarray(rows, np.float64)
        return (points @ matrix[:, :3].T + matrix[:, 3]).astype(np.float32)

    def _flow(self, path: Path) -> Float[np.ndarray, "h w 3"]:
        """True flow and where it is valid."""
        suffix = path.suffix.lower()
        if suffix == ".png":
            flow, valid = read_flow_png(path)
        else:
            flow = (read_flo(path) if suffix == ".flo" else read_pfm(path))[..., :2]
            valid = known(flow)
        return np.concatenate([flow, valid[..., None]], axis=-1, dtype=np.float32)


def read_cloud(path: Path) -> Float[np.ndarray, "n 3"]:
    """x, y, z of a `.npy` array or of a KITTI LiDAR's `.bin`, of four floats a point."""
    if path.suffix.lower() == ".bin":
        with reading(path, "points"):
            values = np.frombuffer(path.read_bytes(), np.uint8)
        if len(values) % 16 or not len(values):
            raise InputError(f"{path}: {len(values)} bytes, expected 16 a point")
        return values.view("<f4").reshape(-1, 4)[:, :3].astype(np.float32)
    array = np.asarray(read_arrays(path).get("", 0))
    columns = array.shape[1] if array.ndim == 2 else 0
    if not 3 <= columns <= MOST_COLUMNS or array.dtype.kind != "f":
        raise InputError(
            f"{path}: expected floats [n, 3] to [n, {MOST_COLUMNS}] (x, y, z and more of each "
            f"point), got {array.dtype} {list(array.shape)}"
        )
    return array[:, :3].astype(np.float32)


def read_map(path: Path) -> Float[np.ndarray, "h w"]:
    """A depth or disparity of every pixel, NaN or 0 where there is none."""
    suffix = path.suffix.lower()
    if suffix == ".png":
        found = read_disparity_png(path)
    elif suffix == ".dpt":
        found = read_dpt(path)
    elif suffix == ".pfm":
        found = read_pfm(path)
    else:
        found = np.asarray(read_arrays(path).get("", 0))
        if found.dtype.kind not in "fiu":
            raise InputError(f"{path}: expected numbers, got {found.dtype} {list(found.shape)}")
        found = found.astype(np.float32)
    if found.ndim != 2:
        raise InputError(f"{path}: expected a map [height, width], got shape {found.shape}")
    return found
