"""Checkpoints of a run: asynchronous, whole or absent, verified, on any mesh.

workdir/checkpoints/00000100/     state (Orbax), info.json, manifest.json
workdir/checkpoints/frozen/       what is not trained, saved once
"""

import contextlib
import errno
import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils

from jaxvision.errors import InputError
from jaxvision.training import manifest
from jaxvision.training.state import TrainState
from jaxvision.weights.mapping import flatten, unflatten

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
FROZEN = "frozen"


class SaveError(Exception):
    """A background save failed; told at the next step."""


class _SignedHandler(ocp.StandardCheckpointHandler):
    """Writes info.json and the manifest as the last thing before Orbax commits the folder."""

    info: Mapping[str, Any] = {}
    final: Path

    def finalize(self, directory: epath.Path) -> None:
        super().finalize(directory)
        if jax.process_index() == 0:
            (directory / "info.json").write_text(json.dumps(dict(self.info), indent=1))
            manifest.write(Path(directory), self.final)


@ocp.args.register_with_handler(_SignedHandler, for_save=True)
@dataclass
class _SignedSave(ocp.args.StandardSave):
    """Arguments of a save by `_SignedHandler`; Orbax registers them per handler class."""


@ocp.args.register_with_handler(_SignedHandler, for_restore=True)
@dataclass
class _SignedRestore(ocp.args.StandardRestore):
    """Arguments of a restore by `_SignedHandler`."""


class Checkpoints:
    """The checkpoints of one workdir.

    keep: how many of the newest to keep; the best is kept besides.  best: name of the evaluation
    result that decides which is best, or "".  best_mode: "max" or "min".
    """

    def __init__(self, workdir: Path, keep: int = 3, best: str = "", best_mode: str = "max"):
        self.folder = workdir / "checkpoints"
        self._keep, self._best, self._best_mode = keep, best, best_mode
        self._handler = _SignedHandler()
        # Its time stamps would change a file after the manifest is made; nothing reads them.
        unstamped = ocp.metadata.metadata_store(enable_write=False)
        self._saver = ocp.AsyncCheckpointer(self._handler, checkpoint_metadata_store=unstamped)
        if jax.process_index() == 0:
            self.folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind, error, trace) -> None:
        """A save under way when the run fails is finished: it may be all that is left of it."""
        with contextlib.suppress(Exception):
            self._saver.wait_until_finished()

    def steps(self) -> list[int]:
        """Committed steps on disk, ascending. Never from a cache: a failed save is not a step."""
        if not self.folder.is_dir():
            return []
        return sorted(
            int(p.name) for p in self.folder.iterdir() if p.name.isdigit() and manifest.exists(p)
        )

    def path(self, step: int) -> Path:
        return self.folder / f"{step:08d}"

    def info(self, step: int) -> dict[str, Any]:
        return json.loads((self.path(step) / "info.json").read_text())

    def check(self) -> None:
        """Raise SaveError if a background save has failed since the last look."""
        with _named(self.folder):
            self._saver.check_for_errors()

    def save(self, step: int, state: TrainState, info: Mapping[str, Any]) -> None:
        """Copy `state` off the devices and write it in the background; every process calls this.

        info: what else belongs to the step (config, versions, results), JSON values.
        """
        with _named(self.folder):
            self._saver.wait_until_finished()
            self.prune()
            frozen = self.folder / FROZEN
            if _untrained(state) and not manifest.exists(frozen):
                self._write(frozen, _untrained(state), {})
                self._saver.wait_until_finished()
            self._write(self.path(step), _trained(state), {**info, "step": step})

    def _write(self, path: Path, tree: Any, info: Mapping[str, Any]) -> None:
        self._handler.info, self._handler.final = info, path.absolute()
        self._saver.save(path.absolute(), args=_SignedSave(tree), force=True)

    def prune(self) -> None:
        """Delete all but the newest and the best, and what a killed run left half written."""
        if jax.process_index() or not self.folder.is_dir():
            return
        steps = self.steps()
        wanted = {*steps[-self._keep :], self.best_step()}
        for path in self.folder.iterdir():
            committed = path.name.isdigit() and int(path.name) in steps
            if path.name != FROZEN and not (committed and int(path.name) in wanted):
                shutil.rmtree(path, ignore_errors=True)

    def best_step(self) -> int | None:
        """The committed step with the best result (the earliest of equals), or None."""
        if not self._best:
            return None
        results = {s: self.info(s).get("results", {}).get(self._best) for s in self.steps()}
        scored = {s: v for s, v in results.items() if v is not None}
        if not scored:
            return None
        pick = max if self._best_mode == "max" else min
        return pick(sorted(scored), key=lambda s: scored[s])

    def usable_step(self, step: int | None = None, report=print) -> int | None:
        """The newest step (up to `step`) whose every file is as it was written.

        A damaged one is named through `report` and set aside. All processes get the same answer.
        """
        found = -1
        if jax.process_index() == 0:
            for candidate in reversed(self.steps()):
                if step is not None and candidate > step:
                    continue
                problem = manifest.damage(self.path(candidate))
                if problem is None and manifest.exists(self.folder / FROZEN):
                    problem = manifest.damage(self.folder / FROZEN)
                if problem is None:
                    found = candidate
                    break
                report(f"checkpoint refused: {problem}")
        if jax.process_count() > 1:
            found = int(multihost_utils.broadcast_one_to_all(jax.numpy.int32(found)))
        return None if found < 0 else found

    def restore(self, step: int, target: TrainState) -> TrainState:
        """The state of `step` as `target` (abstract, with shardings) lays it out: any mesh."""

        def read(path: Path, tree: Any) -> Any:
            return self._saver.restore(path.absolute(), args=_SignedRestore(tree))

        with _named(self.path(step)):
            tree = read(self.path(step), _trained(target))
            rest = _untrained(target)
            rest = read(self.folder / FROZEN, rest) if rest else {}
        return TrainState(
            step=tree["step"],
            params=tree["params"],
            frozen=rest.get("params", {}),
            collections={
                **tree["collections"],
                **{k: v for k, v in rest.items() if k == "constants"},
            },
            optimizer=tree["optimizer"],
            ema=tree["ema"],
        )

    def read_variables(
        self, step: int, averaged: bool | None = None, without: Collection[str] = ()
    ) -> dict[str, Any]:
        """Variables of `step` as host arrays, whatever their shapes.

        averaged: the averages (InputError where none are kept) or the raw weights; None: the
        averages where kept.
        without: collections that are not read (a memory of gigabytes).
        """
        reader = ocp.PyTreeCheckpointer()

        def read(path: Path) -> dict[str, Any]:
            tree = dict(reader.metadata(path.absolute()).item_metadata.tree)
            if "collections" in tree:
                kept = {n: t for n, t in tree["collections"].items() if n not in without}
                tree["collections"] = kept
            arrays = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
            wanted = ocp.args.PyTreeRestore(tree, arrays, partial_restore=True)
            return reader.restore(path.absolute(), args=wanted)

        with _named(self.path(step)):
            tree = read(self.path(step))
            frozen = self.folder / FROZEN
            rest = read(frozen) if manifest.exists(frozen) else {}
        average = {} if averaged is False else tree.get("ema") or {}
        if averaged and not average:
            raise InputError(f"{self.path(step)}: no averaged weights there (ema.decay was 0)")
        params = flatten(average.get("params", tree["params"])) | flatten(rest.get("params", {}))
        others = {k: v for k, v in average.items() if k != "params"}
        constants = {k: v for k, v in rest.items() if k == "constants"}
        return {"params": unflatten(params), **tree["collections"], **others, **constants}

    def close(self) -> None:
        """Wait for the last save; raises SaveError if it failed."""
        with _named(self.folder):
            self._saver.wait_until_finished()
        self.prune()


def _trained(state: TrainState) -> dict[str, Any]:
    return {
        "step": state.step,
        "params": state.params,
        "collections": {k: v for k, v in state.collections.items() if k != "constants"},
        "optimizer": state.optimizer,
        "ema": state.ema,
    }


def _untrained(state: TrainState) -> dict[str, Any]:
    rest = {"params": state.frozen, "constants": state.collections.get("constants", {})}
    return {name: tree for name, tree in rest.items() if tree}


class _named:  # noqa: N801 - reads as a phrase: with _named(folder)
    """Turns what a disk says into one line that names the folder."""

    def __init__(self, folder: Path):
        self._folder = folder

    def __enter__(self) -> None: ...

    def __exit__(self, kind, error, trace) -> None:
        if error is None or isinstance(error, (InputError, KeyboardInterrupt, SaveError)):
            return
        text = " ".join(str(error).split())
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise InputError(
                f"{self._folder}: cannot write a checkpoint: {error.strerror}"
            ) from error
        if any(f"{word}" in text for word in ("No space left", "File too large", "Disk quota")):
            raise InputError(f"{self._folder}: cannot write a checkpoint: {text[:200]}") from error
        raise SaveError(f"{self._folder}: checkpoint failed: {text[:300]}") from error
