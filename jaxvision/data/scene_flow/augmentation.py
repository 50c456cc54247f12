"""How CamLiFlow varies its training pairs: jittered colours, mirrored, cropped and zoomed frames.

What is drawn comes as an argument; `draw_*` make it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageEnhance

from jaxvision.data.fixed_point_resize import opencv_resize
from jaxvision.data.scene_flow.frames import FramePair
from jaxvision.data.scene_flow.geometry import (
    flip_flow,
    flip_points,
    flip_scene_flow,
    inside,
    project,
    resize_sparse_flow,
)


class Window(NamedTuple):
    """A part of a picture, in pixels."""

    left: int
    top: int
    width: int
    height: int


def flip(pair: FramePair, axis: int) -> FramePair:
    """Mirrored left-right (axis 0) or up-down (axis 1)."""
    size = pair.images.shape[1:3]
    first, second = (flip_points(cloud, pair.camera, size, axis) for cloud in pair.clouds)
    flow_3d = pair.flow_3d
    if flow_3d is not None:
        flow_3d = flip_scene_flow(pair.clouds[0], flow_3d, pair.camera, size, axis=axis)
    return replace(
        pair,
        images=np.flip(pair.images, 2 - axis).copy(),
        clouds=(first, second),
        flow_2d=None if pair.flow_2d is None else flip_flow(pair.flow_2d, axis),
        flow_3d=flow_3d,
    )


def crop(pair: FramePair, window: Window, drop_points: bool) -> FramePair:
    """A part of the frames. drop_points: those outside leave, with their truth."""
    left, top, width, height = window
    rows, columns = slice(top, top + height), slice(left, left + width)
    camera = pair.camera._replace(cx=pair.camera.cx - left, cy=pair.camera.cy - top)
    cut = replace(
        pair,
        images=pair.images[:, rows, columns],
        camera=camera,
        flow_2d=None if pair.flow_2d is None else pair.flow_2d[rows, columns],
    )
    if not drop_points:
        return cut
    size = (height, width)
    kept = [np.flatnonzero(inside(project(c, camera), size, first=False)) for c in pair.clouds]
    return cut.take(*kept)


def zoom(pair: FramePair, window: Window) -> FramePair:
    """A part of the frames at full size: x and y of points and of scene flow are enlarged, depth
    and focal length stay, points outside stay. Flow must be sparse."""
    cut = crop(pair, window, drop_points=False)
    size = pair.images.shape[1:3]
    ratio = np.asarray([(size[1] - 1) / (window.width - 1), (size[0] - 1) / (window.height - 1)])
    enlarge = np.asarray([*ratio, 1])
    flow_3d = cut.flow_3d
    if flow_3d is not None:
        moved = (flow_3d[:, :3] * enlarge).astype(np.float32)
        flow_3d = np.concatenate([moved, flow_3d[:, 3:]], axis=-1)
    return replace(
        cut,
        images=opencv_resize(cut.images, size),
        clouds=tuple((cloud * enlarge).astype(np.float32) for cloud in cut.clouds),
        camera=cut.camera._replace(cx=cut.camera.cx * ratio[0], cy=cut.camera.cy * ratio[1]),
        flow_2d=None if cut.flow_2d is None else resize_sparse_flow(cut.flow_2d, size),
        flow_3d=flow_3d,
    )


def draw_zoom(size: tuple[int, int], largest: float, draws: np.random.RandomState) -> Window:
    """A window that is 1 to 1 / `largest` of a picture, anywhere in it."""
    scale = draws.uniform(1.0, largest)
    height, width = int(size[0] / scale), int(size[1] / scale)
    left = draws.randint(0, size[1] - width + 1)
    top = draws.randint(0, size[0] - height + 1)
    return Window(left, top, width, height)


def draw_crop(size: tuple[int, int], crop: tuple[int, int], draws: np.random.RandomState) -> Window:
    """A window of `crop` (height, width) anywhere in a picture."""
    left = draws.randint(0, size[1] - crop[1] + 1)
    top = draws.randint(0, size[0] - crop[0] + 1)
    return Window(left, top, crop[1], crop[0])


class Jitter(NamedTuple):
    """How far brightness, contrast and saturation may leave 1, and hue 0 (in turns)."""

    brightness: float
    contrast: float
    saturation: float
    hue: float


THINGS_JITTER = Jitter(0.3, 0.3, 0.3, 0.159)
KITTI_JITTER = Jitter(0.4, 0.4, 0.2, 0.127)
OPERATIONS = ("brightness", "contrast", "saturation", "hue")


def draw_jitter(jitter: Jitter, draws: np.random.RandomState) -> tuple[tuple[str, float], ...]:
    """(operation, amount) in a random order, as `jitter_colours` takes them."""
    amounts = {
        name: draws.uniform(max(0.0, 1 - spread), 1 + spread)
        for name, spread in zip(OPERATIONS[:3], jitter[:3], strict=True)
    }
    amounts["hue"] = draws.uniform(-jitter.hue, jitter.hue)
    order = draws.permutation(len(OPERATIONS))
    return tuple((OPERATIONS[k], float(amounts[OPERATIONS[k]])) for k in order)


def jitter_colours(pair: FramePair, steps: Sequence[tuple[str, float]]) -> FramePair:
    """Both frames alike: contrast is about the mean grey of both."""
    count, height, width, _ = pair.images.shape
    tall = Image.fromarray(pair.images.reshape(count * height, width, 3))
    for name, amount in steps:
        if name == "brightness":
            tall = ImageEnhance.Brightness(tall).enhance(amount)
        elif name == "contrast":
            tall = ImageEnhance.Contrast(tall).enhance(amount)
        elif name == "saturation":
            tall = ImageEnhance.Color(tall).enhance(amount)
        else:
            hue, *others = tall.convert("HSV").split()
            turned = (np.asarray(hue, np.int16) + int(amount * 255)) % 256
            bands = (Image.fromarray(turned.astype(np.uint8)), *others)
            tall = Image.merge("HSV", bands).convert("RGB")
    return replace(pair, images=np.asarray(tall).reshape(pair.images.shape))
