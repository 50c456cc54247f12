"""What an evaluation's network answered, batch by batch, in files: computed on several machines,
read on one.

FOLDER/EVALUATION/BUCKET/STEP.npz holds the leaves of a batch's outputs in the tree's order. A file
is there when it is whole, so a pass that was stopped goes on behind the last.
"""

import json
import zipfile
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxvision.data.atomic_write import atomic_write, path_inside
from jaxvision.errors import InputError
from jaxvision.text_files import read_json

UNREADABLE = "unreadable.json"


@dataclass(frozen=True)
class StoredOutputs:
    """folders: of the shards; the one that is written is the first."""

    folders: Sequence[Path]

    def missing(self, name: str, bucket: str, steps: range) -> range:
        """Those of `steps` behind the last one that is there."""
        there = 0
        while there < len(steps) and self._file(name, bucket, steps[there]).is_file():
            there += 1
        return steps[there:]

    def write(
        self, name: str, bucket: str, step: int, answered: Any, unreadable: Collection[str]
    ) -> None:
        """Keep the outputs of a batch, and first which records of `name` could not be read so
        far."""
        file = self._file(name, bucket, step)
        file.parent.mkdir(parents=True, exist_ok=True)
        if set(unreadable) != set(self.unreadable(name)):
            with atomic_write(self._of(self.folders[0], name) / UNREADABLE) as temporary:
                Path(temporary).write_text(json.dumps(sorted(unreadable)))
        # Bytes: a file of arrays knows no bfloat16. Shapes are the reader's, who asks the network.
        leaves = [np.ascontiguousarray(leaf) for leaf in jax.tree.leaves(answered)]
        as_bytes = [leaf.reshape(-1).view(np.uint8) for leaf in leaves]
        with atomic_write(file) as temporary, open(temporary, "wb") as stream:
            np.savez(stream, *as_bytes)

    def read(self, name: str, bucket: str, steps: range, shapes: Any) -> Generator[Any, None, None]:
        """The outputs of the batches `steps`, which have `shapes`. InputError for a batch that no
        folder holds, or that is damaged or of other shapes."""
        for step in steps:
            yield self._read(name, bucket, step, shapes)

    def unreadable(self, name: str) -> list[str]:
        """Records of an evaluation that could not be read."""
        files = [self._of(folder, name) / UNREADABLE for folder in self.folders]
        return [record for f in files if f.is_file() for record in read_json(f, [str])]

    def _read(self, name: str, bucket: str, step: int, shapes: Any) -> Any:
        files = [self._file(name, bucket, step, folder) for folder in self.folders]
        there = [file for file in files if file.is_file()]
        if len(there) != 1:
            raise InputError(
                f"{files[0].name}: batch {step} of {name} ({bucket}) is in {len(there)} of "
                f"{len(files)} shards; expected one"
            )
        expected, tree = jax.tree.flatten(shapes)
        try:
            with np.load(there[0], allow_pickle=False) as stored:
                leaves = [stored[key] for key in stored.files]
            values = [
                leaf.view(shape.dtype).reshape(shape.shape)
                for leaf, shape in zip(leaves, expected, strict=True)
            ]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{there[0]}: not {len(expected)} arrays of this evaluation's outputs ({error})"
            ) from error
        return jax.tree.unflatten(tree, values)

    def _file(self, name: str, bucket: str, step: int, folder: Path | None = None) -> Path:
        of = self._of(folder or self.folders[0], name)
        return path_inside(of, Path(bucket.replace("/", "_")) / f"{step:08}.npz")

    def _of(self, folder: Path, name: str) -> Path:
        return path_inside(folder, name)
