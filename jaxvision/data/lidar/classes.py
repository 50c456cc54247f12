"""Raw label ids of a dataset and the classes a network is trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int

from jaxvision.errors import InputError, nearest

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
        for name, ids in zip(self.names, self.raw_ids, strict=True):
            whole = all(isinstance(raw, int) and 0 <= raw < self.known_ids for raw in ids)
            if not ids or not whole:
                raise InputError(
                    f"classes: {name!r}: {ids}; expected raw label ids from 0 to "
                    f"{self.known_ids - 1}"
                )
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

    def in_order(self, names: Sequence[str]) -> "Classes":
        """Those of a network that was trained with `names`, the ignored one first, which the table
        calls as it likes. InputError for a class whose raw ids it does not say."""
        ids = dict(zip(self.names[1:], self.raw_ids[1:], strict=True))
        for name in names[1:]:
            if name not in ids:
                raise InputError(
                    f"data.classes: no raw ids of {name!r}, a class that the weights were trained "
                    f"on{nearest(name, ids)}"
                )
        return Classes(
            tuple(names), (self.raw_ids[0], *(ids[name] for name in names[1:])), self.known_ids
        )

    @classmethod
    def of_table(cls, table: Mapping[str, tuple[int, ...]], known_ids: int) -> "Classes":
        """{name: raw ids}, the ignored class first."""
        return cls(tuple(table), tuple(table.values()), known_ids)

    @classmethod
    def of_config(cls, table: Mapping[str, Sequence[int]], ignored: Sequence[int]) -> "Classes":
        """A user's own: {name: raw ids}; `ignored` are raw ids that no loss and no metric reads."""
        for name, ids in table.items():
            if not isinstance(ids, (tuple, list)):
                raise InputError(f"data.classes: {name!r}: {ids!r}; expected raw ids as (1, 2)")
        names = ("ignored", *table)
        return cls(names, (tuple(ignored) or (0,), *(tuple(ids) for ids in table.values())))


SEMANTIC_KITTI = Classes.of_table(
    {
        "unlabeled": (0, 1, 52, 99),
        "car": (10, 252),
        "bicycle": (11,),
        "motorcycle": (15,),
        "truck": (18, 258),
        "other-vehicle": (20, 13, 16, 256, 257, 259),
        "person": (30, 254),
        "bicyclist": (31, 253),
        "motorcyclist": (32, 255),
        "road": (40, 60),
        "parking": (44,),
        "sidewalk": (48,),
        "other-ground": (49,),
        "building": (50,),
        "fence": (51,),
        "vegetation": (70,),
        "trunk": (71,),
        "terrain": (72,),
        "pole": (80,),
        "traffic-sign": (81,),
    },
    known_ids=260,
)

NUSCENES = Classes.of_table(
    {
        "ignore": (0, 1, 5, 7, 8, 10, 11, 13, 19, 20, 29, 31),
        "barrier": (9,),
        "bicycle": (14,),
        "bus": (15, 16),
        "car": (17,),
        "construction_vehicle": (18,),
        "motorcycle": (21,),
        "pedestrian": (2, 3, 4, 6),
        "traffic_cone": (12,),
        "trailer": (22,),
        "truck": (23,),
        "driveable_surface": (24,),
        "other_flat": (25,),
        "sidewalk": (26,),
        "terrain": (27,),
        "manmade": (28,),
        "vegetation": (30,),
    },
    known_ids=32,
)
