"""From annotations to clips with words: captions to train on, the two sides of a retrieval."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from jaxvision.data import picture_files, video_clips
from jaxvision.data.bicubic import bicubic_uint8
from jaxvision.data.caption_records import CaptionRecord, ChoiceRecord, Place, QuestionRecord
from jaxvision.data.crops import resized_crop_box
from jaxvision.data.moving_shapes import MadeClip
from jaxvision.data.picture_files import read_picture
from jaxvision.data.source import Sample
from jaxvision.data.video import Video
from jaxvision.data.word_pieces import WordPieces, clean_caption

AREA = (0.5, 1.0)  # of a training crop
LOOKED_AT = 10_000  # captions that a run counts its tokens of, at its start


@dataclass(frozen=True)
class Captioned:
    """A record that knows its video's number: records of one video are no negatives of each
    other."""

    record: CaptionRecord
    number: int


@dataclass(frozen=True)
class CaptionRecords:
    """Records as the loader wants them. An unreadable one is replaced whole, caption and all.

    by_caption: records of equal captions, not of one video, are no negatives of each other
        (Something-Something).
    pieces, length: of the network, to say how many captions it will cut.
    """

    records: tuple[CaptionRecord, ...]
    by_caption: bool = False
    pieces: WordPieces | None = None
    length: int = 0

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Captioned:
        record = self.records[index]
        return Captioned(record, self._numbers()[self._key(record)])

    def name(self, index: int) -> str:
        return _name(self.records[index].path)

    def files(self) -> list[Path]:
        return _files(self.records)

    def summary(self) -> str:
        """How many captions there are, are empty, and are cut (looked for among the first ones)."""
        captions = [clean_caption(c) for record in self.records for c in record.captions]
        several = sum(len(record.captions) > 1 for record in self.records)
        said = [f"{len(self.records)} records with {len(captions)} captions"]
        said += [f"{several} with several"] if several else []
        empty = captions.count("")
        said += [f"{empty} captions are empty"] if empty else []
        if self.pieces is not None:
            looked_at = captions[:LOOKED_AT]
            mask = self.pieces.encode(looked_at, self.length + 1).mask
            cut = int(mask[:, self.length].sum())
            among = f" of the first {len(looked_at)}" if len(looked_at) < len(captions) else ""
            said += [f"{cut} captions{among} are cut to {self.length} tokens"] if cut else []
        return "; ".join(said)

    def _key(self, record: CaptionRecord) -> object:
        return clean_caption(record.captions[0]) if self.by_caption else record.path

    def _numbers(self) -> dict:
        # Made once: a frozen record keeps what it computes in its own dictionary.
        if "_by_key" not in self.__dict__:
            keys = dict.fromkeys(map(self._key, self.records))
            object.__setattr__(self, "_by_key", {key: number for number, key in enumerate(keys)})
        return self.__dict__["_by_key"]


@dataclass(frozen=True)
class AnnotatedVideos:
    """Any records with a path, as the loader wants them."""

    records: Sequence[CaptionRecord | ChoiceRecord | QuestionRecord]

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> CaptionRecord | ChoiceRecord | QuestionRecord:
        return self.records[index]

    def name(self, index: int) -> str:
        return _name(self.records[index].path)

    def files(self) -> list[Path]:
        return _files(self.records)


def _name(path: Place) -> str:
    return str(path[0] if isinstance(path, tuple) else path)


def _files(records: Sequence[CaptionRecord | ChoiceRecord | QuestionRecord]) -> list[Path]:
    """The first file of each; made clips have none."""
    paths = (r.path[0] if isinstance(r.path, tuple) else r.path for r in records)
    return [path for path in paths if not isinstance(path, MadeClip)]


def training_numbers(total: int, frames: int, rng: np.random.Generator) -> video_clips.Frames:
    """A random frame of each interval; its last is never picked, as published, where it has more
    than one. Of a video of fewer frames all, then its last again."""
    bounds = video_clips.interval_bounds(total, min(frames, total))
    first, last = bounds[:-1], np.maximum(bounds[1:] - 1, bounds[:-1] + 1)
    chosen = rng.integers(first, last)
    return np.concatenate([chosen, np.full(frames - len(chosen), chosen[-1])])


def read_clip(
    path: Place, frames: int, rng: np.random.Generator | None, seconds: float = 0.0
) -> UInt8[np.ndarray, "t h w 3"]:
    """Frames of a video, of a list of pictures, of one picture (t = 1), or of a clip that is made.

    rng: of training; None takes the middle frames.  seconds: of a video's beginning; 0 = all.
    Videos and lists of fewer frames are noted (`conversions`).
    """

    def choose(total: int) -> np.ndarray:
        video_clips.note_if_short(path[0] if isinstance(path, tuple) else path, total, frames)
        if rng is None:
            return video_clips.interval_clip(total, frames)
        return training_numbers(total, frames, rng)

    if isinstance(path, MadeClip):
        return path.read(choose)
    if isinstance(path, tuple):
        return np.stack([np.asarray(read_picture(path[number])) for number in choose(len(path))])
    if path.suffix.lower() in picture_files.SUFFIXES:
        return np.asarray(read_picture(path))[None]
    with Video(path) as video:
        total = len(video)
        if seconds:
            total = max(min(total, int(seconds * video.rate)), 1)
        return video.frames(choose(total))


@dataclass(frozen=True, kw_only=True)
class CaptionedClips:
    """`video` uint8 [t, h, w, 3]; `ids`, `mask` [n] of one of its captions; `key`, the video's
    number.

    size: (height, width).  length: tokens of a text.  training: random frames, crops of half the
        area or more, flips, and a random caption where there are several; else the middle frames,
        resized whole, and the first caption.  seconds: of a video's beginning; 0 = all of it.
    """

    frames: int
    size: tuple[int, int]
    pieces: WordPieces
    length: int
    training: bool = True
    flip: bool = True
    seconds: float = 0.0

    def __call__(self, item: Captioned, rng: np.random.Generator, bucket: str) -> Sample:
        captions = item.record.captions
        caption = captions[int(rng.integers(len(captions)))] if self.training else captions[0]
        ids, mask = self.pieces.encode([clean_caption(caption)], self.length)
        return {
            "video": self.clip(item.record.path, rng),
            "ids": ids[0],
            "mask": mask[0],
            "key": np.int32(item.number),
        }

    def alone(self, record: CaptionRecord, rng: np.random.Generator, bucket: str) -> Sample:
        """`video` without any words."""
        return {"video": self.clip(record.path, rng)}

    def clip(self, path: Place, rng: np.random.Generator) -> UInt8[np.ndarray, "t h w 3"]:
        frames = read_clip(path, self.frames, rng if self.training else None, self.seconds)
        if not self.training:
            return bicubic_uint8(frames, self.size)
        height, width = frames.shape[1:3]
        frames = resized_crop_box(rng, height, width, AREA).cut(frames)
        frames = bicubic_uint8(frames, self.size)
        mirrored = self.flip and rng.random() < 0.5
        return np.ascontiguousarray(frames[:, :, ::-1]) if mirrored else frames


@dataclass(frozen=True)
class Sentences:
    """Texts as records, for an evaluation: `ids`, `mask` [n] of each."""

    texts: tuple[str, ...]
    pieces: WordPieces
    length: int

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> Sample:
        ids, mask = self.pieces.encode([clean_caption(self.texts[index])], self.length)
        return {"ids": ids[0], "mask": mask[0]}

    def name(self, index: int) -> str:
        return self.texts[index]


@dataclass(frozen=True)
class TwoSides:
    """The videos and the texts of a retrieval, each once, and which belong together by number."""

    videos: tuple[CaptionRecord, ...]
    texts: tuple[str, ...]
    texts_of: tuple[tuple[int, ...], ...]
    videos_of: tuple[tuple[int, ...], ...]


def two_sides(records: Sequence[CaptionRecord], many_videos_a_text: bool = False) -> TwoSides:
    """Videos by path, texts by record.

    many_videos_a_text: equal captions are one text of several videos (Something-Something); else
        every caption is a text of its own.
    """
    videos: dict[Place, int] = {}
    numbers: dict[str, int] = {}
    texts: list[str] = []
    pairs: list[tuple[int, int]] = []
    for record in records:
        video = videos.setdefault(record.path, len(videos))
        for caption in record.captions:
            cleaned = clean_caption(caption)
            if many_videos_a_text and cleaned in numbers:
                text = numbers[cleaned]
            else:
                text = numbers[cleaned] = len(texts)
                texts.append(caption)
            pairs.append((video, text))
    texts_of: list[list[int]] = [[] for _ in videos]
    videos_of: list[list[int]] = [[] for _ in texts]
    for video, text in pairs:
        texts_of[video].append(text)
        videos_of[text].append(video)
    return TwoSides(
        tuple(CaptionRecord(path, ()) for path in videos),
        tuple(texts),
        tuple(map(tuple, texts_of)),
        tuple(map(tuple, videos_of)),
    )
