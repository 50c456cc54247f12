"""Features of weights that do not train, computed once and kept on the disk.

What is there already is read back first: a file that is damaged is made anew, and said. A start
that was stopped goes on where it was, since every file is there whole or not at all.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from jaxvision.data.conversions import Conversions, Note, collecting
from jaxvision.data.feature_files import FeatureFiles, StoredFeatures
from jaxvision.data.folder_lock import folder_lock
from jaxvision.data.loader import HostBatch, batches, of_record, reason_of
from jaxvision.data.source import Records, Sample
from jaxvision.data.worker import end_with_parent
from jaxvision.errors import InputError, writing
from jaxvision.training.run import compile_by_bucket
from jaxvision.training.sharding import batch_parts, place, replicated
from jaxvision.training.task import Batch, Variables
from jaxvision.weights.fingerprint import content_digest
from jaxvision.weights.mapping import flatten

CLIPS = 8  # views a batch, or as many as there are devices
SAY_EVERY_SECONDS = 10.0
# (record, number of the view, its draws) -> what the network is shown; 0: as evaluations see it.
ShowView = Callable[[Any, int, np.random.Generator], Sample]


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """The part of a network that does not train, and what it is shown.

    features: of a raw batch of `fields`.  fields: of one view, without the batch's axis.
    trains: whether a parameter's path is of the head; all others make the features.
    about: what they depend on beside weights and files, plain values.
    """

    features: Callable[[Variables, Batch], Float[Array, "b n d"]]
    fields: Mapping[str, jax.ShapeDtypeStruct]
    show: ShowView
    trains: Callable[[str], bool]
    about: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class FeatureMaker:
    """Makes what is missing of the features of `frozen` with `variables`, in a folder below `root`.

    config: of the run; its `data` says how records are read.
    """

    frozen: Frozen
    variables: Variables
    mesh: Mesh
    config: ConfigDict
    say: Callable[[str], None]
    root: Path

    @cached_property
    def files(self) -> FeatureFiles:
        """Where they are. InputError for a run of several processes."""
        if jax.process_count() > 1:
            raise InputError(
                f"data.features={self.root}: features are made by one process, and this run has "
                f"{jax.process_count()}; train from pixels, with --config.data.features="
            )
        weights = flatten(self.variables["params"])
        made_by = {path: leaf for path, leaf in weights.items() if not self.frozen.trains(path)}
        about = {"weights": content_digest(made_by), **self.frozen.about}
        with jax.set_mesh(self.mesh):
            answer = jax.eval_shape(self.frozen.features, self.variables, self._fields(1))
        return FeatureFiles(self.root, about, answer.shape[1:])

    def stored(
        self, split: str, records: Records, labels: Sequence[int], views: int
    ) -> StoredFeatures:
        """The features of `views` views of each record, once they are there."""
        # 1. What is there.
        files = self.files
        paths = [
            tuple(files.path(records.name(n), view) for view in range(views))
            for n in range(len(records))
        ]
        flat = [path for of_record in paths for path in of_record]
        with ThreadPoolExecutor() as pool:
            damaged = list(pool.map(files.damage, flat))
        for reason in damaged:
            if reason:
                self.say(f"features: damaged, made anew: {reason}")
        missing = [number for number, reason in enumerate(damaged) if reason is not None]
        self.say(
            f"features of {split}: {len(flat) - len(missing)} of {len(flat)} views are there, "
            f"{len(missing)} to make ({files.folder})"
        )
        # 2. What is not.
        lacking: dict[Path, str] = {}
        if missing:
            files.begin()
            lock = folder_lock(files.folder / ".lock", f"data.features: {files.folder}")
            with writing(files.folder), lock:
                lacking = self._make(records, [divmod(n, views) for n in missing], flat)
        return StoredFeatures(records, labels, files, paths, lacking)

    def _make(
        self, records: Records, wanted: Sequence[tuple[int, int]], flat: Sequence[Path]
    ) -> dict[Path, str]:
        """Write the features of `wanted` (record, view), each to its place in `flat`; returns why
        some could not be made."""
        views = len(flat) // len(records)
        size = self._batch_size
        shown = ShownViews(records, wanted, self.frozen.show, self._fields(size))
        data = self.config.data
        lacking: dict[Path, str] = {}
        conversions = Conversions()
        started = told = time.monotonic()
        reading = {"workers": data.workers, "threads": data.threads, "patience": data.patience}
        with batches(shown, **reading) as iterator:
            for step, batch in enumerate(iterator):
                for line in conversions.add(batch.converted):
                    self.say(line)
                reasons = dict(batch.replaced)
                features = jax.device_get(
                    self._program(self.variables, place(batch.arrays, self.mesh, size))
                )
                mine = wanted[step * size : (step + 1) * size]
                for row, (record, view) in enumerate(mine):
                    path, reason = flat[record * views + view], reasons.get(str(row))
                    if reason is None:
                        self.files.write(path, features[row])
                    else:
                        lacking[path] = reason
                        self.say(
                            f"features: unreadable, left out: {records.name(record)}: {reason}"
                        )
                now = time.monotonic()
                if now - told > SAY_EVERY_SECONDS:
                    done = step * size + len(mine)
                    left = (now - started) / done * (len(wanted) - done)
                    self.say(f"features: {done}/{len(wanted)} views, {left:.0f} s left")
                    told = now
        self.say(
            f"features: {len(wanted) - len(lacking)} made in {time.monotonic() - started:.0f} s"
        )
        return lacking

    @property
    def _batch_size(self) -> int:
        parts = batch_parts(self.mesh)
        return -(-CLIPS // parts) * parts

    def _fields(self, rows: int) -> dict[str, jax.ShapeDtypeStruct]:
        return {
            name: jax.ShapeDtypeStruct((rows, *spec.shape), spec.dtype)
            for name, spec in self.frozen.fields.items()
        }

    @cached_property
    def _program(self) -> Any:
        """The frozen part, compiled for a batch of views."""
        jitted = jax.jit(self.frozen.features, out_shardings=replicated(self.mesh))
        specs = {"views": self._fields(self._batch_size)}
        return compile_by_bucket(jitted, self.variables, specs, self.mesh)["views"]


@dataclass(frozen=True)
class ShownViews:
    """Batches of `fields` of the views `wanted` (record, view). Of one that cannot be read the row
    is empty, and `replaced` has its number and why."""

    records: Records
    wanted: Sequence[tuple[int, int]]
    show: ShowView
    fields: Mapping[str, jax.ShapeDtypeStruct]

    @property
    def size(self) -> int:
        return next(iter(self.fields.values())).shape[0]

    def __len__(self) -> int:
        return -(-len(self.wanted) // self.size)

    def __getitem__(self, step: int) -> HostBatch:
        end_with_parent()
        arrays = {name: np.zeros(spec.shape, spec.dtype) for name, spec in self.fields.items()}
        unreadable: list[tuple[str, str]] = []
        converted: list[Note] = []
        for row, (number, view) in enumerate(self._views(step)):
            name = self.records.name(number)
            # A view is the same in whichever order, and for whatever seed, it is made.
            rng = np.random.default_rng((view, *name.encode()))
            try:
                with collecting() as notes:
                    sample = self.show(self.records[number], view, rng)
            except Exception as error:
                unreadable.append((str(row), reason_of(error).removeprefix(f"{name}: ")))
                continue
            converted += of_record(name, notes)
            for field_name, array in arrays.items():
                array[row] = sample[field_name]
        return HostBatch("views", arrays, self.names(step), unreadable, converted)

    def names(self, step: int) -> list[str]:
        """Names of the records that a batch is to read, which are not read here."""
        return [self.records.name(number) for number, _ in self._views(step)]

    def _views(self, step: int) -> Sequence[tuple[int, int]]:
        return self.wanted[step * self.size : (step + 1) * self.size]
