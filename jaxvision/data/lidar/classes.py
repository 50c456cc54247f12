"""Raw label ids of a dataset and the classes a network is trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int

from jaxvision.errors import InputError

# A raw id that stands in no table, in LinK's and SPVNAS's training labels.
UNMAPPED = 255


@dataclass(frozen=True)
class Classes:
    """names: of the classes, the first is the ignored one.  raw_ids: of each class, the first is
    written to files."""

    names: tuple[str, ...]
    raw_ids: tuple[tuple[int, ...], ...]
    known_ids: int = 65536

    def __len__(self) -> int:
        return len(self.names)

    def __post_init__(self):
        if len(self.names) != len(self.raw_ids) or len(self.names) < 2:
            raise InputError(f"classes {self.names}: expected the ignored one and at least another")
        listed = [raw for ids in self.raw_ids for raw in ids]
        twice = {raw for raw in listed if listed.count(raw) > 1}
        if twice:
            raise InputError(f"classes: raw ids {sorted(twice)} stand in two classes")

    def train_ids(
        self,
        raw: Int[np.ndarray, " n"],
        unlisted: Literal["unmapped", "ignored"] = "unmapped",
        source: str = "labels",
    ) -> Int[np.ndarray, " n"]:
        """Classes of raw ids. Unlisted ids become 255 (LinK's readers) or the ignored class (the
        SemanticKITTI benchmark); ids of `known_ids` and above are an InputError."""
        raw = np.asarray(raw).astype(np.int64)
        if len(raw) and (raw.max() >= self.known_ids or raw.min() < 0):
            raise InputError(
                f"{source}: label {raw[(raw >= self.known_ids) | (raw < 0)][0]}; expected ids "
                f"below {self.known_ids}"
            )
        table = np.full(self.known_ids, UNMAPPED if unlisted == "unmapped" else 0, np.int32)
        for number, ids in enumerate(self.raw_ids):
            table[list(ids)] = number
        return table[raw]

    def written_ids(self, classes: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """The raw id written for each predicted class."""
        return np.array([ids[0] for ids in self.raw_ids], np.int32)[classes]

    @classmethod
    def of_config(cls, table: Mapping[str, Sequence[int]], ignored: Sequence[int]) -> "Classes":
        """A user's own: {name: raw ids}; `ignored` are raw ids that no loss and no metric reads."""
        names = ("ignored", *table)
        return cls(names, (tuple(ignored) or (0,), *(tuple(ids) for ids in table.values())))


SEMANTIC_KITTI = Classes(
    (
        *("unlabeled", "car", "bicycle", "motorcycle", "truck", "other-vehicle", "person"),
        *("bicyclist", "motorcyclist", "road", "parking", "sidewalk", "other-ground", "building"),
        *("fence", "vegetation", "trunk", "terrain", "pole", "traffic-sign"),
    ),
    (
        *((0, 1, 52, 99), (10, 252), (11,), (15,), (18, 258), (20, 13, 16, 256, 257, 259)),
        *((30, 254), (31, 253), (32, 255), (40, 60), (44,), (48,), (49,), (50,), (51,), (70,)),
        *((71,), (72,), (80,), (81,)),
    ),
    260,
)

NUSCENES = Classes(
    (
        *("ignore", "barrier", "bicycle", "bus", "car", "construction_vehicle", "motorcycle"),
        *("pedestrian", "traffic_cone", "trailer", "truck", "driveable_surface", "other_flat"),
        *("sidewalk", "terrain", "manmade", "vegetation"),
    ),
    (
        *((0, 1, 5, 7, 8, 10, 11, 13, 19, 20, 29, 31), (9,), (14,), (15, 16), (17,), (18,)),
        *((21,), (2, 3, 4, 6), (12,), (22,), (23,), (24,), (25,), (26,), (27,), (28,), (30,)),
    ),
    32,
)
