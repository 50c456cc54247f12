"""The benchmarks' protocols, each its own: what is shown to the network, and what is measured."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from jaxvision.data import frame_interpolation as readers
from jaxvision.data.yuv_video import HD_CLIPS, HdIntervals
from jaxvision.errors import InputError, check_choice
from jaxvision.methods.emavfi.inference import InferenceSettings
from jaxvision.metrics import image_quality as quality

Images = Shaped[np.ndarray, "n h w 3"]
# (prediction in [0, 1], truth: 8-bit, or [0, 1] where it is float) -> {name: value}
Measure = Callable[[Float[np.ndarray, "h w 3"], Shaped[np.ndarray, "h w 3"]], Mapping[str, float]]


def _unit(truth: np.ndarray) -> np.ndarray:
    return truth / 255 if truth.dtype == np.uint8 else truth


def plain(prediction: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """PSNR and volume SSIM of the unrounded prediction (Vimeo90K, SNU-FILM)."""
    truth = _unit(truth)
    return {
        "psnr": quality.psnr(prediction, truth),
        "ssim": quality.ssim_volume(prediction, truth),
    }


def rounded(prediction: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """The same of the prediction rounded to 8 bits (UCF101, X-TEST)."""
    return plain(quality.round_to_8_bits(prediction), truth)


def eight_bit(prediction: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """scikit-image's PSNR and SSIM between 8-bit images (Xiph)."""
    image = np.round(prediction * 255).astype(np.uint8)
    return {
        "psnr": quality.psnr(image, truth, 255),
        "ssim": quality.ssim_uniform(image, truth),
    }


def error(prediction: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Interpolation error on 0..255 (Middlebury)."""
    return {"ie": quality.interpolation_error(prediction, truth)}


def luma(prediction: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """PSNR of Y between 8-bit RGB images (HD)."""
    return {"psnr": quality.luma_psnr(np.round(prediction * 255).astype(np.uint8), truth)}


def unchanged(frames: Images) -> Images:
    return frames


def halved(frames: Images) -> Images:
    """Each frame at half its size by area means."""
    return np.stack([readers.halve_area(frame) for frame in frames])


def halved_unit(frames: Images) -> Images:
    """The same in floating point: no rounding between."""
    return np.stack([readers.halve_area(frame.astype(np.float32) / 255) for frame in frames])


def central(frames: Images) -> Images:
    """The middle half of each frame."""
    return np.stack([readers.central_half(frame) for frame in frames])


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """records(root): readers whose frames are (first, every target, last), evenly spaced in time.
    view: what is done to the frames first.  by_clip: mean per clip before the mean over clips.
    targets: frames between first and last; more than one needs a model for any time.
    """

    records: Callable[[Path], Any]
    measure: Measure
    down_scale: float = 1.0
    divisor: int = 0
    view: Callable[[Images], Images] = unchanged
    targets: int = 1
    by_clip: bool = False

    def settings(self, augment: bool) -> InferenceSettings:
        return InferenceSettings(self.down_scale, augment, self.divisor)

    @property
    def times(self) -> tuple[float, ...]:
        return tuple(i / (self.targets + 1) for i in range(1, self.targets + 1))


def _snu_film(level: str) -> Protocol:
    return Protocol(
        records=lambda root: readers.snu_film(root, level),
        measure=plain,
        down_scale=0.5,
        divisor=32,
    )


def _xiph(view: Callable[[Images], Images]) -> Protocol:
    return Protocol(records=readers.xiph, measure=eight_bit, down_scale=0.5, divisor=16, view=view)


def _xtest(down_scale: float, view: Callable[[Images], Images]) -> Protocol:
    return Protocol(
        records=readers.xtest,
        measure=rounded,
        down_scale=down_scale,
        divisor=32,
        view=view,
        targets=7,
    )


def _hd(name: str) -> Protocol:
    def records(root: Path) -> HdIntervals:
        return HdIntervals.of_class(root, name)

    return Protocol(records=records, measure=luma, divisor=32, targets=3, by_clip=True)


PROTOCOLS: dict[str, Protocol] = {
    "vimeo90k": Protocol(records=lambda root: readers.vimeo_triplets(root, "test"), measure=plain),
    "ucf101": Protocol(records=readers.ucf101, measure=rounded),
    **{f"snu_film_{level}": _snu_film(level) for level in readers.SNU_FILM_LEVELS},
    "xiph_2k": _xiph(halved),
    "xiph_4k": _xiph(central),
    "middlebury": Protocol(records=readers.middlebury, measure=error, divisor=32),
    "xtest_2k": _xtest(0.5, halved_unit),
    "xtest_4k": _xtest(0.25, unchanged),
    **{f"hd_{name}": _hd(name) for name in HD_CLIPS},
}


def protocol(name: str, any_time: bool) -> Protocol:
    """The protocol `name`; InputError where the model's weights are not made for it."""
    check_choice("task.benchmarks:", name, PROTOCOLS)
    found = PROTOCOLS[name]
    if found.targets > 1 and not any_time:
        raise InputError(
            f"task.benchmarks: {name} asks for {found.targets} times between two frames, but "
            "model.any_time is False: this model is trained for t = 0.5 alone"
        )
    return found
