"""Checkpoints of a run: asynchronous, whole or absent, verified, on any mesh.

workdir/checkpoints/00000100/               state (Orbax), info.json, manifest.json
workdir/checkpoints/00000100.results.json   of its evaluations, which come after it
workdir/checkpoints/frozen/                 what is not trained, saved once

A step is whole where its files, and those of the frozen part that it stands on, are as they were
written, by this run, for this step. Nothing is deleted for a newer step before that step's files
have been read back from the disk.
"""

import contextlib
import json
import logging
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils

from jaxvision.errors import InputError, disk_problem
from jaxvision.training import manifest
from jaxvision.training.run_record import run_id, write_json
from jaxvision.training.state import TrainState
from jaxvision.weights.fingerprint import content_digest
from jaxvision.weights.mapping import flatten, unflatten

FROZEN = "frozen"
# Names that are ours: anything else in the folder is left alone.
STEP = re.compile(r"[0-9]{8,}")
LEFTOVER = re.compile(r"([0-9]{8,}|frozen)\.orbax-checkpoint-tmp.*")
DELETED = ".orbax-checkpoint-tmp-deleted"  # a step's name while it is deleted: a leftover, too
BROUGHT = ".orbax-checkpoint-tmp-brought"  # and while it is copied from elsewhere


class SaveError(Exception):
    """A background save failed; told at the next step."""


class _SignedHandler(ocp.StandardCheckpointHandler):
    """Writes info.json and the manifest as the last thing before Orbax commits the folder."""

    info: Mapping[str, Any] = {}
    facts: Mapping[str, Any] = {}
    final: Path

    def finalize(self, directory: epath.Path) -> None:
        super().finalize(directory)
        if jax.process_index() == 0:
            (directory / "info.json").write_text(json.dumps(dict(self.info), indent=1))
            manifest.write(Path(directory), self.final, self.facts)


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
    result that decides which is best, or "".  best_mode: "max" or "min".  whole: called, by the
    first process and in the background, with every step that has been read back.
    """

    def __init__(
        self,
        workdir: Path,
        keep: int = 3,
        best: str = "",
        best_mode: str = "max",
        whole: Callable[[int], None] | None = None,
    ):
        self.folder = workdir / "checkpoints"
        self._workdir = workdir
        self._keep, self._best, self._best_mode = keep, best, best_mode
        self._whole = whole
        self._handler = _SignedHandler()
        # Its time stamps would change a file after the manifest is made; nothing reads them.
        unstamped = ocp.metadata.metadata_store(enable_write=False)
        self._saver = ocp.AsyncCheckpointer(self._handler, checkpoint_metadata_store=unstamped)
        # One thread reads back what was saved, while the next is made.
        self._reader = ThreadPoolExecutor(1, "read back")
        self._reading: Future | None = None
        self._saved: int | None = None  # by this process, not yet read back
        self._refused: set[int] = set()  # found damaged
        self._frozen: str | None = None  # content of the frozen part, once it is known to be there
        if jax.process_index() == 0:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"{self.folder}: no folder: {error.strerror}") from error

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind, error, trace) -> None:
        """A save under way when the run fails is finished: it may be all that is left of it."""
        with contextlib.suppress(Exception):
            self._saver.wait_until_finished()
        self._reader.shutdown()

    def steps(self) -> list[int]:
        """Committed steps on disk, ascending. Never from a cache: a failed save is not a step."""
        if not self.folder.is_dir():
            return []
        return sorted(
            int(p.name)
            for p in self.folder.iterdir()
            if STEP.fullmatch(p.name) and manifest.begun(p)
        )

    def path(self, step: int) -> Path:
        return self.folder / f"{step:08d}"

    def info(self, step: int) -> dict[str, Any]:
        return json.loads((self.path(step) / "info.json").read_text())

    def results(self, step: int) -> dict[str, float]:
        """Of the evaluations after `step`; empty where there are none, or none that can be read."""
        with contextlib.suppress(OSError, ValueError):
            stored = json.loads(self._results(step).read_text())
            if isinstance(stored, dict):
                return {k: v for k, v in stored.items() if isinstance(v, int | float)}
        return {}

    def evaluated(self, step: int) -> bool:
        """Whether results of `step` are there; all processes get the same answer."""
        return bool(self._first_says(lambda: int(bool(self.results(step)))))

    def add_results(self, step: int, results: Mapping[str, float]) -> None:
        """Put results beside `step`."""
        if jax.process_index() == 0:
            with _named(self.folder):
                write_json(self._results(step), dict(results))

    def _results(self, step: int) -> Path:
        return self.folder / f"{step:08d}.results.json"

    def check(self) -> None:
        """Raise SaveError if a background save has failed since the last look."""
        with _named(self.folder):
            self._saver.check_for_errors()
            if self._reading is not None and self._reading.done():
                self._reading.result()

    def save(self, step: int, state: TrainState, info: Mapping[str, Any]) -> None:
        """Copy `state` off the devices and write it in the background; every process calls this.

        info: what else belongs to the step (config, versions), JSON values.
        """
        with _named(self.folder):
            self._saver.wait_until_finished()
            self._read_back_saved()
            self._delete_leftovers()
            self._save_frozen(_untrained(state))
            facts = {"step": step, "frozen": self._frozen}
            self._write(self.path(step), _trained(state), facts, {**info, "step": step})
            self._saved = step
            self._refused.discard(step)

    def _write(self, path: Path, tree: Any, facts: Mapping, info: Mapping[str, Any]) -> None:
        self._handler.info, self._handler.final = info, path.absolute()
        self._handler.facts = {"run": run_id(self._workdir), **facts}
        self._saver.save(path.absolute(), args=_SignedSave(tree), force=True)

    def _save_frozen(self, tree: Mapping[str, Any]) -> None:
        """Have what is not trained on the disk, as it is in memory, before a step stands on it."""
        if not tree or self._frozen is not None:
            return
        content = _content(tree)
        if self._first_says(lambda: self._damage(self.folder / FROZEN, content=content)):
            self._write_frozen(tree, content)
        self._frozen = content

    def _write_frozen(self, tree: Mapping[str, Any], content: str) -> None:
        self._write(self.folder / FROZEN, tree, {"content": content}, {})
        self._saver.wait_until_finished()
        if jax.process_index() == 0:
            self._read_back(self.folder / FROZEN, content=content)

    def _read_back_saved(self) -> None:
        """Have the files of the last save read, and older steps deleted, in the background."""
        if self._reading is not None:
            self._reading.result()
        if jax.process_index() or self._saved is None:
            return

        def settle(step: int, facts: Mapping[str, Any]) -> None:
            self._read_back(self.path(step), **facts)
            self._prune(step)
            if self._whole is not None:
                self._whole(step)

        facts = {"step": self._saved, "frozen": self._frozen}
        self._reading = self._reader.submit(settle, self._saved, facts)
        self._saved = None

    def _read_back(self, folder: Path, **facts: Any) -> None:
        """SaveError where the disk does not give back what was written to it."""
        manifest.forget(folder)
        problem = self._damage(folder, **facts)
        if problem is not None:
            raise SaveError(f"{problem}, right after it was written: the disk cannot be trusted")

    def _prune(self, newest: int) -> None:
        """Delete steps before `newest`, which is whole, but the last few and the best."""
        steps = self.steps()
        good = [step for step in steps if step <= newest and step not in self._refused]
        wanted = {*good[-self._keep :], newest, self.best_step()}
        for step in steps:
            if step < newest and step not in wanted:
                self._delete(step)

    def _delete(self, step: int) -> None:
        """Under another name first: a kill leaves the step or a leftover, never half a step."""
        gone = self.folder / f"{step:08d}{DELETED}"
        with contextlib.suppress(OSError):
            self.path(step).rename(gone)
            shutil.rmtree(gone)
            self._results(step).unlink(missing_ok=True)

    def _delete_leftovers(self) -> None:
        """What killed runs left half written."""
        if jax.process_index() == 0:
            for path in self.folder.iterdir():
                if LEFTOVER.fullmatch(path.name):
                    shutil.rmtree(path, ignore_errors=True)

    def best_step(self) -> int | None:
        """The committed step with the best result (the earliest of equals), or None."""
        results = {step: self.results(step).get(self._best) for step in self.steps()}
        scored = {step: v for step, v in results.items() if v is not None and v == v}
        if not scored:
            return None
        pick = max if self._best_mode == "max" else min
        return pick(sorted(scored), key=lambda s: scored[s])

    def usable_step(self, step: int | None = None, report=print) -> int | None:
        """The newest whole step; `step` alone where one is given; None where none was ever saved.

        A damaged one is named through `report` and set aside. All processes get the same answer.
        InputError where `step` is not whole or not there, and where no step that was saved is.
        """
        steps, found, problem = self.steps(), None, ""
        if jax.process_index() == 0:
            candidates = [step] if step in steps else [] if step is not None else steps[::-1]
            for candidate in candidates:
                problem = self._step_damage(candidate) or ""
                if not problem:
                    found = candidate
                    break
                self._refused.add(candidate)
                if step is None:
                    report(f"checkpoint refused: {problem}")
        found = self._first_says(lambda: found)
        if found is None and step is not None:
            there = f"there are {', '.join(map(str, steps))}" if steps else "there is none"
            raise InputError(problem or f"{self.folder}: no checkpoint of step {step}; {there}")
        if found is None and steps:
            raise InputError(
                f"{self.folder}: no whole checkpoint there ({len(steps)} refused, last: {problem})"
                "; put one back from a copy, or remove the folder to start again from step 0"
            )
        return found

    def _step_damage(self, step: int) -> str | None:
        """What is wrong with a step, or with the frozen part that it stands on."""
        problem = self._damage(self.path(step), step=step)
        if problem is not None:
            return problem
        content = manifest.read(self.path(step))["frozen"]
        return content and self._damage(self.folder / FROZEN, content=content)

    def _damage(self, folder: Path, **facts: Any) -> str | None:
        return manifest.damage(folder, {"run": run_id(self._workdir), **facts})

    def _first_says(self, ask: Callable[[], Any]) -> Any:
        """The first process's answer; of any answer but a number, only whether there is one."""
        answer = ask() if jax.process_index() == 0 else None
        if jax.process_count() == 1:
            return answer
        number = -1 if answer is None else answer if isinstance(answer, int) else 1
        said = int(multihost_utils.broadcast_one_to_all(jax.numpy.int32(number)))
        return None if said < 0 else said

    def mend_frozen(self, start: Callable[[], TrainState], report=print) -> None:
        """Write the frozen part again where it is damaged, from the state that `start` makes.

        InputError where that is not what the steps stand on.
        """
        frozen, content, problem = self.folder / FROZEN, None, None
        if jax.process_index() == 0:
            for step in reversed(self.steps()):
                with contextlib.suppress(ValueError):
                    content = manifest.read(self.path(step))["frozen"]
                    break
            problem = content and self._damage(frozen, content=content)
        if not self._first_says(lambda: problem):
            return
        report(f"checkpoint refused: {problem}")
        tree = _untrained(start())
        found = _content(tree)
        if not self._first_says(lambda: int(found == content)):
            raise InputError(
                f"{problem or frozen}; what this run starts from is not what was saved, so it "
                f"cannot be written again: put {frozen} back from a copy, or take a new workdir"
            )
        with _named(self.folder):
            self._write_frozen(tree, found)
        report(f"written again from what the run started from: {frozen}")

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
            kept = tree.get("collections", {}).items()
            tree["collections"] = {name: leaves for name, leaves in kept if name not in without}
            if averaged is False:
                tree["ema"] = {}
            elif "params" in (tree.get("ema") or {}):
                tree["params"] = {}
            wanted = ("params", "collections", "ema", "constants")
            # An empty tree would be looked for as a leaf.
            tree = {name: tree[name] for name in wanted if tree.get(name)}
            arrays = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
            asked = ocp.args.PyTreeRestore(tree, arrays, partial_restore=True)
            return reader.restore(path.absolute(), args=asked)

        with _named(self.path(step)), _without_narration():
            tree = read(self.path(step))
            stands = manifest.read(self.path(step))["frozen"]
            rest = read(self.folder / FROZEN) if stands else {}
        average = {} if averaged is False else tree.get("ema") or {}
        if averaged and not average:
            raise InputError(f"{self.path(step)}: no averaged weights there (ema.decay was 0)")
        trained = average.get("params") or tree.get("params", {})
        params = flatten(trained) | flatten(rest.get("params", {}))
        others = {k: v for k, v in average.items() if k != "params"}
        constants = {k: v for k, v in rest.items() if k == "constants"}
        return {"params": unflatten(params), **tree.get("collections", {}), **others, **constants}

    def close(self) -> None:
        """Wait for the last save and read it back; raises SaveError if it failed."""
        with _named(self.folder):
            self._saver.wait_until_finished()
            self._read_back_saved()
            if self._reading is not None:
                self._reading.result()


@contextlib.contextmanager
def _without_narration() -> Iterator[None]:
    """Orbax warns at every read that a folder lacks a file of metadata that it would not use."""
    narrator = logging.getLogger("absl")
    level = narrator.level
    narrator.setLevel(logging.ERROR)
    try:
        yield
    finally:
        narrator.setLevel(level)


def _content(tree: Mapping[str, Any]) -> str:
    """A digest of the values in `tree`, the same on every process and mesh."""

    def on_host(leaf: Any) -> np.ndarray:
        whole = leaf.is_fully_addressable or leaf.is_fully_replicated
        return np.asarray(leaf if whole else multihost_utils.process_allgather(leaf, tiled=True))

    return content_digest(flatten(tree), on_host)


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
        if not isinstance(error, Exception) or isinstance(error, (InputError, SaveError)):
            return
        problem = disk_problem(error)
        if problem is not None:
            raise InputError(f"{self._folder}: cannot write a checkpoint: {problem}") from error
        text = " ".join(str(error).split())
        raise SaveError(f"{self._folder}: checkpoint failed: {text[:300]}") from error
