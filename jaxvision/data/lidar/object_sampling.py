"""Rare classes more often: frames drawn by class, and objects pasted from other scans."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from jaxvision.data.lidar.boxed_scan import BoxedScan
from jaxvision.data.lidar.boxes import collisions, corners_above
from jaxvision.data.lidar.nuscenes_index import OBJECTS, read_rows
from jaxvision.data.lidar.scan import read_floats
from jaxvision.data.source import Records

MIN_POINTS = 5


def balanced(
    names: Sequence[Sequence[str]], classes: Sequence[str], seed: int
) -> Int[np.ndarray, " n"]:
    """Numbers of frames such that every class fills an equal share of the draws (CBGS, 1908.09492).

    names: classes of each frame's boxes. From the n_c frames that hold class c, int(n_c * share /
    (n_c / total)), at least one, are drawn with replacement; share = 1 / number of classes, total =
    sum of n_c.
    """
    rng = np.random.default_rng(seed)
    holding = [np.flatnonzero([name in of for of in names]) for name in classes]
    total = sum(map(len, holding))
    drawn = []
    for frames in holding:
        if len(frames):
            count = int(len(frames) * (1 / len(classes)) / (len(frames) / total))
            drawn.append(rng.choice(frames, max(count, 1)))
    return np.concatenate(drawn) if drawn else np.arange(len(names))


@dataclass(frozen=True)
class RecordSubset:
    """Records of another list by their numbers, in any order; a record may come several times."""

    records: Records
    rows: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, index: int) -> str:
        return self.records.name(int(self.rows[index]))

    def __getitem__(self, index: int) -> BoxedScan:
        return self.records[int(self.rows[index])]


@dataclass(frozen=True)
class ObjectBank:
    """Objects by class: their boxes and the files of their points, relative to the box's centre."""

    folder: Path
    boxes: Mapping[str, Float[np.ndarray, "n 9"]]
    files: Mapping[str, tuple[str, ...]]

    @classmethod
    def open(cls, folder: Path, scenes: Sequence[str]) -> "ObjectBank":
        """Objects of some scenes that hold at least five points."""
        boxes: dict[str, list] = {}
        files: dict[str, list[str]] = {}
        for row in read_rows(folder, OBJECTS):
            if row["scene"] in scenes and row["points"] >= MIN_POINTS:
                boxes.setdefault(row["name"], []).append(row["box"])
                files.setdefault(row["name"], []).append(row["file"])
        return cls(
            folder,
            {name: np.array(of, np.float32) for name, of in boxes.items()},
            {name: tuple(of) for name, of in files.items()},
        )

    def paste(
        self,
        scan: BoxedScan,
        points: Float[np.ndarray, "n 5"],
        paste_counts: Mapping[str, int],
        rng: np.random.Generator,
    ) -> tuple[Float[np.ndarray, "n 5"], Float[np.ndarray, "k 9"], tuple[str, ...]]:
        """Points, boxes and names with up to `paste_counts[name]` objects of each class, those
        already there counted, where they collide with none seen from above. Pasted points come
        first."""
        boxes, names, added = scan.boxes, list(scan.names), []
        for name, wanted in paste_counts.items():
            known = self.boxes.get(name)
            count = wanted - scan.names.count(name)
            if known is None or count <= 0:
                continue
            for row in rng.permutation(len(known))[:count]:
                corners = corners_above(known[row : row + 1])
                if collisions(corners, corners_above(boxes)).any():
                    continue
                own = read_floats(self.folder / self.files[name][row], 5)
                own[:, :3] += known[row, :3]
                added.append(own)
                boxes = np.concatenate([boxes, known[row : row + 1]])
                names.append(name)
        return np.concatenate([*added, points]), boxes, tuple(names)
