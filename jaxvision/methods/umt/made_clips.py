"""Made-up clips for every stage of the demo: the shapes of `jaxvision.data.moving_shapes`."""

from dataclasses import dataclass

import numpy as np
from ml_collections import ConfigDict

from jaxvision.data import pictures
from jaxvision.data.caption_records import CaptionRecord
from jaxvision.data.moving_shapes import WORDS, LabelledShapes, MadeClip, MovingShapes
from jaxvision.data.source import Sample, Source
from jaxvision.data.word_pieces import SPECIAL, WordPieces

NAME = "shapes"  # data.name
MARGIN = 4 / 3  # made clips are so much larger than the network's, which cuts them at random
PROBE_CLIPS = {"probe": 960, "held_out": 480}
SEEDS = {"train": 0, "held_out": 1, "probe": 2}
Labelled = tuple[MadeClip, int]


def shapes(config: ConfigDict, split: str, count: int, *, margin: float = 1.0) -> MovingShapes:
    """Clips of "train", "held_out" or "probe"; held-out ones over photographs of their own.

    margin: how much larger they are than the network takes them.
    """
    return MovingShapes(
        backgrounds=pictures.built_in("held_out" if split == "held_out" else "train"),
        count=count,
        seed=SEEDS[split],
        frames=max(config.model.frames, 2),
        side=round(config.model.image_size[0] * margin),
    )


def word_pieces() -> WordPieces:
    """The vocabulary of the clips' own captions."""
    return WordPieces.of_pieces((*SPECIAL, *WORDS), "words of the made-up captions")


def clip_source(config: ConfigDict) -> Source:
    """Clips to pretrain on: `video` uint8 [t, h, w, 3]."""
    records = LabelledShapes(shapes(config, "train", config.data.clips))
    return Source(records, config.train.batch_size, _video_alone)


def _video_alone(record: Labelled, rng: np.random.Generator, bucket: str) -> Sample:
    return {"video": record[0].read(np.arange)}


def picture_source(config: ConfigDict, split: str) -> Source:
    """A random frame of each clip: `video` [1, h, w, 3], `label`. split: "train" or "held_out"."""
    count = config.data.clips if split == "train" else PROBE_CLIPS["held_out"]
    records = LabelledShapes(shapes(config, split, count))
    return Source(records, config.train.batch_size, _one_frame)


def _one_frame(record: Labelled, rng: np.random.Generator, bucket: str) -> Sample:
    clip, label = record
    return {"video": clip.read(lambda total: rng.integers(total, size=1)), "label": np.int32(label)}


def probe_source(config: ConfigDict) -> Source:
    """Clips to fit a probe on, then held-out ones to test it on: `video`, `label`, `held_out`."""
    fitted, tested = (
        LabelledShapes(shapes(config, split, count)) for split, count in PROBE_CLIPS.items()
    )
    return Source(OneAfterTheOther(fitted, tested), config.train.batch_size, _labelled)


def _labelled(record: tuple[Labelled, bool], rng: np.random.Generator, bucket: str) -> Sample:
    (clip, label), held_out = record
    video = clip.read(np.arange)
    return {"video": video, "label": np.int32(label), "held_out": np.bool_(held_out)}


@dataclass(frozen=True)
class OneAfterTheOther:
    """The records of both, each with whether it is of the second."""

    first: LabelledShapes
    second: LabelledShapes

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def __getitem__(self, index: int) -> tuple[Labelled, bool]:
        records, place = self._place(index)
        return records[place], records is self.second

    def name(self, index: int) -> str:
        records, place = self._place(index)
        return records.name(place)

    def _place(self, index: int) -> tuple[LabelledShapes, int]:
        second = index >= len(self.first)
        return (self.second, index - len(self.first)) if second else (self.first, index)


def caption_records(config: ConfigDict, split: str) -> tuple[CaptionRecord, ...]:
    """Clips with their captions. split: "train" or "validation"."""
    split, count = ("train" if split == "train" else "held_out"), config.data[split]
    made = shapes(config, split, count, margin=MARGIN)
    return tuple(
        CaptionRecord(MadeClip(made, number), (made.scene(number).caption,))
        for number in range(count)
    )
