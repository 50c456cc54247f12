"""Which frames of a video make a clip, and clips for training, validation and testing: the host's
side of video classification.

The rules return 0-based frame numbers and take their draw as an argument; the draw's range is in
the docstring. A span is frames x stride. Clips travel to the device as 8-bit pixels, a quarter of
float32's bytes; the resized crop is rounded to them. Normalising, erasing and mixing happen there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from jaxvision.data import crops
from jaxvision.data.augment.rand_augment import RandAugment
from jaxvision.data.conversions import note
from jaxvision.data.resize import resize_short_side, resized_crop_uint8
from jaxvision.data.source import Records, Sample
from jaxvision.data.tfds import TfdsVideo
from jaxvision.data.video import Video
from jaxvision.data.video_list import LabelledVideo
from jaxvision.errors import InputError, check_choice

Frames = Int[np.ndarray, " frames"]
Item = LabelledVideo | TfdsVideo
Clip = UInt8[np.ndarray, "t h w 3"]

# The rules for choosing frames.


def pretraining_starts(total: int, frames: int, stride: int) -> int:
    """How many places a pretraining clip may start at: 0 .. this - 1."""
    return max(total - frames * stride, 0) + 1


def pretraining_clip(total: int, frames: int, stride: int, start: int) -> Frames:
    """Every `stride`-th frame from `start`; once another step would reach the last frame, that
    frame again (short videos)."""
    steps = np.arange(frames) * stride
    furthest = (total - 2 - start) // stride * stride
    return start + np.minimum(steps, max(furthest, 0))


def dense_training_clip(total: int, frames: int, stride: int, end: int) -> Frames:
    """`frames` frames spread over the span that ends at `end`, in [span, total - 1].

    The spacing is span/(frames - 1), not exactly the stride. Where the span does not fit, the
    whole video at its stride, then its last frame repeated, whatever `end`.
    """
    span = frames * stride
    if total <= span:
        spread = np.linspace(0, total, min(total // stride, frames))
        spread = np.concatenate([spread, np.full(frames - len(spread), total)])
        return np.clip(spread, 0, total - 1).astype(np.int64)
    start = end - span
    return np.clip(np.linspace(start, end, frames), start, end - 1).astype(np.int64)


def dense_validation_clip(total: int, frames: int, stride: int) -> Frames:
    """The training clip in the middle of the video."""
    return dense_training_clip(total, frames, stride, end=(frames * stride + total) // 2)


def segment_clip(total: int, frames: int, offsets: Sequence[int] | Frames | None = None) -> Frames:
    """One frame of each of `frames` equal segments.

    offsets: place in each segment, in [0, total // frames); None for the middle. A video of fewer
    frames repeats its first.
    """
    length = total // frames
    if length == 0:
        return np.concatenate([np.zeros(frames - total, np.int64), np.arange(total)])
    place = length // 2 if offsets is None else np.asarray(offsets)
    return np.arange(frames) * length + place


def dense_test_clips(
    total: int, frames: int, stride: int, segments: int
) -> Int[np.ndarray, "segments frames"]:
    """`segments` clips of every `stride`-th frame, their starts spread evenly over the video.

    A video too short repeats its last strided frame. One segment starts in the middle.
    """
    strided = np.arange(0, total, stride)
    strided = np.concatenate([strided, np.full(max(frames - len(strided), 0), strided[-1])])
    spare = len(strided) - frames
    if segments == 1:
        starts = np.array([spare // 2])
    else:
        starts = (np.arange(segments) * (spare / (segments - 1))).astype(np.int64)
    return strided[starts[:, None] + np.arange(frames)]


def sparse_test_clips(total: int, frames: int, segments: int) -> Int[np.ndarray, "segments frames"]:
    """`segments` interleaved clips, each spread over the whole video."""
    tick = total / frames
    phase, place = np.arange(segments)[:, None], np.arange(frames)
    together = np.sort((phase * tick / segments + tick * place).astype(np.int64), axis=None)
    return together.reshape(frames, segments).T


def uniform_bounds(total: int, frames: int) -> Int[np.ndarray, " bounds"]:
    """Where `frames` equal parts of a video begin, and the last frame (`frames` + 1 numbers): the
    sparse rule of UMT, halves rounded to even."""
    return np.round(np.arange(frames + 1) * ((total - 1) / frames)).astype(np.int64)


def uniform_test_clips(
    total: int, frames: int, segments: int
) -> Int[np.ndarray, "segments frames"]:
    """`segments` clips of one frame of each part, at equal distances inside it; validation takes
    the one clip of `segments` = 1."""
    step = (total - 1) / frames / (segments + 1)
    inside = (np.arange(1, segments + 1) * step).astype(np.int64)
    return uniform_bounds(total, frames)[:-1] + inside[:, None]


def spread_clip(total: int, frames: int) -> Frames:
    """The frames in the middle of `frames` equal parts, which need not be whole frames long."""
    return ((np.arange(frames) + 0.5) * (total / frames)).astype(np.int64)


def centre_clip(total: int, frames: int, stride: int) -> Frames:
    """The middle frames of `frames` strides around the middle of the video; where it is too short,
    its first and last frames repeated."""
    start = (total - frames * stride) // 2 + (stride - 1) // 2
    return np.clip(start + np.arange(frames) * stride, 0, total - 1)


def interval_bounds(total: int, frames: int) -> Int[np.ndarray, " bounds"]:
    """Where `frames` intervals of whole frames begin, and the end (`frames` + 1 numbers): the rule
    of UMT's clips with captions."""
    return np.linspace(0, total, frames + 1).astype(np.int64)


def interval_clip(total: int, frames: int) -> Frames:
    """The middle frame of each interval; of a video of fewer frames all, then its last again."""
    bounds = interval_bounds(total, min(frames, total))
    middles = (bounds[:-1] + bounds[1:] - 1) // 2
    return np.concatenate([middles, np.full(frames - len(middles), middles[-1])])


def window_starts(total: int, frames: int, step: int) -> Int[np.ndarray, " windows"]:
    """Starts of the windows of consecutive frames that features for temporal detection come from;
    none where the video is shorter than a window."""
    return np.arange(0, total - frames + 1, step)


SAMPLINGS = ("dense", "segments", "spread", "uniform")


@dataclass(frozen=True)
class FrameSampling:
    """Which frames of a video make a clip.

    kind: "dense", `frames` spread over a span of frames x stride (Kinetics); "segments", one frame
        of each of `frames` equal parts of the video (Something-Something); "spread", the same but
        for validation's clip, which is the second of two test clips (UMT's Something-Something); or
        "uniform", parts that need not be whole frames long, ends included (UMT).
    """

    kind: str
    frames: int
    stride: int = 4

    def __post_init__(self):
        check_choice("sampling", self.kind, SAMPLINGS)
        for name in ("frames", "stride"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)} of a clip; expected at least 1")

    def training(self, total: int, rng: np.random.Generator) -> Int[np.ndarray, " t"]:
        if self.kind == "dense":
            span = self.frames * self.stride
            end = int(rng.integers(span, total)) if total > span else span
            return dense_training_clip(total, self.frames, self.stride, end)
        if self.kind == "uniform":
            bounds = uniform_bounds(total, self.frames)
            return rng.integers(bounds[:-1], bounds[1:], endpoint=True)
        length = max(total // self.frames, 1)
        return segment_clip(total, self.frames, rng.integers(length, size=self.frames))

    def validation(self, total: int) -> Int[np.ndarray, " t"]:
        if self.kind == "dense":
            return dense_validation_clip(total, self.frames, self.stride)
        if self.kind == "uniform":
            return uniform_test_clips(total, self.frames, 1)[0]
        if self.kind == "spread":
            return spread_clip(total, self.frames)
        return segment_clip(total, self.frames)

    def test(self, total: int, segments: int) -> Int[np.ndarray, "segments t"]:
        if self.kind == "dense":
            return dense_test_clips(total, self.frames, self.stride, segments)
        if self.kind == "uniform":
            return uniform_test_clips(total, self.frames, segments)
        return sparse_test_clips(total, self.frames, segments)


# From records to samples.


def evaluation_clip(
    video: Clip | str | Path, frames: int, size: tuple[int, int], choose: Callable[[int], Frames]
) -> Clip:
    """One clip of a video as networks are tested with it: frames, short side, centre crop.

    video: RGB frames or a file. `frames` of them are taken as they are; of any other number, those
    that `choose` picks, given how many there are.  size: (height, width).
    InputError for a file that cannot be read, or what is no video.
    """

    def numbers(total: int) -> Frames:
        if total == 0:
            raise InputError("no frames")
        return np.arange(frames) if total == frames else choose(total)

    if isinstance(video, (str, Path)):
        with Video(video) as file:
            chosen = file.frames(numbers(len(file)))
    else:
        given = np.asarray(video)
        if given.ndim != 4 or given.shape[-1] != 3 or given.dtype != np.uint8:
            raise InputError(
                f"frames of shape {given.shape} and dtype {given.dtype}; expected uint8 "
                "[frames, height, width, 3]"
            )
        chosen = given[numbers(len(given))]
    return _centre(chosen, size)


def _centre(frames: Clip, size: tuple[int, int]) -> Clip:
    frames = resize_short_side(frames, max(size))
    height, width = frames.shape[1:3]
    return crops.centre_box(height, width, size).cut(frames)


def read_frames(item: Item, choose: Callable[[int], np.ndarray]) -> Clip:
    """The frames whose numbers `choose` picks, given how many there are. A video shorter than that
    is noted (`conversions`)."""
    with item.open() as video:
        chosen = choose(len(video))
        note_if_short(item.path, len(video), len(chosen))
        return video.frames(chosen)


def note_if_short(where: object, total: int, frames: int) -> None:
    """Notes (`conversions`) that a clip of `frames` frames shows some of `total` frames twice."""
    if total < frames:
        note(where, "a video of fewer frames than a clip", f"{total} of {frames}")


@dataclass(frozen=True)
class TrainingClips:
    """`crops_per_clip` augmented crops of one decoded clip, next to each other in the batch.

    RandAugment on whole frames, a random resized crop, a flip of every second crop on average.
    size: (height, width).  flip: not where left and right are labels (Something-Something).
    """

    sampling: FrameSampling
    size: tuple[int, int]
    augment: RandAugment | None
    flip: bool = True
    crops_per_clip: int = 1

    def __call__(self, item: Item, rng: np.random.Generator, bucket: str) -> list[Sample]:
        frames = read_frames(item, lambda total: self.sampling.training(total, rng))
        label = np.int32(item.label)
        return [
            {"video": self.crop(frames, rng), "label": label} for _ in range(self.crops_per_clip)
        ]

    def crop(self, frames: Clip, rng: np.random.Generator) -> Clip:
        """One augmented crop of the frames."""
        if self.augment is not None:
            frames = self.augment(frames, rng)
        box = crops.resized_crop_box(rng, *frames.shape[1:3])
        mirrored = self.flip and rng.random() < 0.5
        return resized_crop_uint8(frames, box, self.size, mirrored)


@dataclass(frozen=True)
class ValidationClip:
    """The clip in the middle of the video, the centre of its frames."""

    sampling: FrameSampling
    size: tuple[int, int]

    def __call__(self, record: tuple[int, Item], *_: Any) -> Sample:
        number, item = record
        frames = read_frames(item, self.sampling.validation)
        return _view(_centre(frames, self.size), item, number, 0)


@dataclass(frozen=True)
class MultiViewClips:
    """Square crops along the longer side of one test clip: `crops` samples of one record.

    A record is (number of the video, the video, segment); `segments` are the clips of a video.
    """

    sampling: FrameSampling
    side: int
    segments: int
    crops: int

    def __post_init__(self):
        for name in ("segments", "crops"):
            if getattr(self, name) < 1:
                raise InputError(f"task.{name}={getattr(self, name)}; expected at least 1")

    def __call__(self, record: tuple[int, Item, int], *_: Any) -> list[Sample]:
        number, item, segment = record
        frames = read_frames(item, lambda total: self.sampling.test(total, self.segments)[segment])
        return [
            _view(clip, item, number, segment * self.crops + place)
            for place, clip in enumerate(self._crops(frames))
        ]

    def of_file(self, path: str | Path) -> UInt8[np.ndarray, "views t h w 3"]:
        """Every view of a video file. InputError for one that cannot be read."""
        with Video(path) as video:
            clips = [video.frames(n) for n in self.sampling.test(len(video), self.segments)]
        return np.stack([view for clip in clips for view in self._crops(clip)])

    def _crops(self, frames: Clip) -> list[Clip]:
        frames = resize_short_side(frames, self.side)
        height, width = frames.shape[1:3]
        boxes = crops.long_side_boxes(height, width, self.crops)
        return [box.cut(frames) for box in boxes]


def _view(clip: Clip, item: Item, number: int, view: int) -> Sample:
    return {
        "video": np.ascontiguousarray(clip),
        "label": np.int32(item.label),
        "number": np.int32(number),
        "view": np.int32(view),
    }


@dataclass(frozen=True)
class NumberedVideos:
    """Videos with their number, each once per segment (0: without naming a segment)."""

    videos: Records
    segments: int = 0

    def __len__(self) -> int:
        return len(self.videos) * max(self.segments, 1)

    def __getitem__(self, index: int) -> tuple:
        if not self.segments:
            return index, self.videos[index]
        number, segment = divmod(index, self.segments)
        return number, self.videos[number], segment

    def name(self, index: int) -> str:
        return self.videos.name(index // max(self.segments, 1))

    def files(self) -> list[Path]:
        return getattr(self.videos, "files", list)()

    def summary(self) -> str:
        return getattr(self.videos, "summary", lambda: f"{len(self.videos)} videos")()
