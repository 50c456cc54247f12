"""Copies of a run's checkpoints in an object store: a machine that is lost takes only its disk.

The workdir stays a folder of this machine (or one that all machines share), with its lock and its
log; every step that was read back whole is copied, its manifest last, so that a copy without one is
none. A start whose workdir lacks the newest copied step takes it from there, as the same run.

ADDRESS/run.json, config.json, checkpoints/00000100/..., checkpoints/frozen/...
"""

import contextlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from jaxvision.errors import InputError
from jaxvision.stores.store import (
    Known,
    asking,
    check_store_writable,
    copy_here,
    files_under,
    is_address,
    remove,
    send,
)
from jaxvision.training import manifest
from jaxvision.training.checkpoint import BROUGHT, FROZEN, STEP, SaveError
from jaxvision.training.run_record import FACTS, run_id

FOLDER, CONFIG, RESULTS = "checkpoints", "config.json", ".results.json"


class StoredSteps:
    """The copies at `address` of the checkpoints in `workdir`; the first process's alone.

    say: takes what a person should know.
    """

    def __init__(self, workdir: Path, address: str, say: Callable[[str], None] = print):
        if not is_address(address):
            raise InputError(f"--copies {address!r}: expected an address such as gs://bucket/run")
        self._workdir, self._say = workdir, say
        self._address = address.rstrip("/")
        self._frozen: str | None = None  # content of the frozen part that is there
        self._missing: set[int] = set()  # whole steps that could not be copied

    def bring(self) -> None:
        """Have the newest whole step that was copied in the workdir, where that has none as new.

        InputError where the store cannot be read or written, or holds another run.
        """
        check_store_writable(self._address)
        there = files_under(self._address)
        if not there:
            return
        mine = run_id(self._workdir)
        if FACTS not in there:
            raise InputError(f"{self._address}: holds files of no run ({next(iter(there))})")
        theirs = self._run_there(there[FACTS])
        if mine is not None and theirs != mine:
            raise InputError(
                f"{self._address}: holds copies of another run than {self._workdir} does; expected "
                "an address of its own"
            )
        here = [int(p.name) for p in (self._workdir / FOLDER).glob("[0-9]*") if manifest.begun(p)]
        for step in reversed(steps_in(there)):
            if step <= max(here, default=-1):
                break
            if self._bring_step(step, there):
                if mine is None:
                    for name in (FACTS, CONFIG):
                        self._fetch(name, there[name], self._workdir / name)
                break

    def _run_there(self, known: Known) -> str:
        """The id of the run whose copies are there."""
        file = self._workdir / f".{FACTS}{BROUGHT}"
        try:
            self._fetch(FACTS, known, file)
            return str(json.loads(file.read_text())["run"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"{self._address}/{FACTS}: names no run") from error
        finally:
            file.unlink(missing_ok=True)

    def _bring_step(self, step: int, there: Mapping[str, Known]) -> bool:
        """Whether `step` came whole, with the frozen part that it stands on."""
        name = f"{step:08d}"
        self._say(f"taking step {step} from {self._address}")
        if not self._bring_folder(name, there, {"step": step}):
            return False
        content = manifest.read(self._workdir / FOLDER / name)["frozen"]
        frozen = self._workdir / FOLDER / FROZEN
        if content and manifest.damage(frozen, {"content": content}):
            shutil.rmtree(frozen, ignore_errors=True)
            self._bring_folder(FROZEN, there, {"content": content})
        with contextlib.suppress(KeyError):
            results = f"{FOLDER}/{name}{RESULTS}"
            self._fetch(results, there[results], self._workdir / results)
        return True

    def _bring_folder(self, name: str, there: Mapping[str, Known], facts: Mapping) -> bool:
        """Under another name until it is whole: what a kill leaves is deleted as a leftover."""
        final = self._workdir / FOLDER / name
        part = final.with_name(f"{name}{BROUGHT}")
        shutil.rmtree(part, ignore_errors=True)
        above = f"{FOLDER}/{name}/"
        for file, known in there.items():
            if file.startswith(above):
                self._fetch(file, known, part / file.removeprefix(above))
        problem = manifest.damage(part, facts)
        if problem is not None:
            said = problem.replace(str(part), f"{self._address}/{FOLDER}/{name}")
            self._say(f"copy refused: {said}")
            shutil.rmtree(part)
            return False
        shutil.rmtree(final, ignore_errors=True)  # a damaged one
        part.rename(final)
        return True

    def _fetch(self, name: str, known: Known, target: Path) -> None:
        address = f"{self._address}/{name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        with asking(address):
            copy_here(address, target, known)

    def send(self, step: int) -> None:
        """Copy `step`, which is whole, and delete the copies of those that are not here any more.
        Where the store does not take it, that is said, and the next step tries again."""
        try:
            self._send(step)
            self._missing.clear()
        except InputError as error:
            self._missing.add(step)
            self._say(f"step {step} has no copy yet: {error}")

    def _send(self, step: int) -> None:
        for name in (FACTS, CONFIG):
            if (self._workdir / name).is_file():
                send(self._workdir / name, f"{self._address}/{name}")
        content = manifest.read(self._workdir / FOLDER / f"{step:08d}")["frozen"]
        if content and content != self._frozen:
            self._send_folder(FROZEN)
            self._frozen = content
        self._send_folder(f"{step:08d}")
        self._send_results()
        there = files_under(f"{self._address}/{FOLDER}")
        kept = {p.name for p in (self._workdir / FOLDER).iterdir()}
        gone = [n for n in there if STEP.fullmatch(n.split("/")[0]) and n.split("/")[0] not in kept]
        for name in sorted(gone, key=lambda n: not n.endswith(manifest.NAME)):
            remove(f"{self._address}/{FOLDER}/{name}")

    def _send_folder(self, name: str) -> None:
        """The manifest last: a copy without one is none."""
        folder = self._workdir / FOLDER / name
        files = [path for path in folder.rglob("*") if path.is_file()]
        for path in sorted(files, key=lambda path: path.name == manifest.NAME):
            send(path, f"{self._address}/{FOLDER}/{name}/{path.relative_to(folder).as_posix()}")

    def _send_results(self) -> None:
        for path in (self._workdir / FOLDER).glob(f"*{RESULTS}"):
            send(path, f"{self._address}/{FOLDER}/{path.name}")

    def finish(self) -> None:
        """After the last step: copy what came after it. SaveError where it has no copy there."""
        try:
            for step in sorted(self._missing)[-1:]:
                self._send(step)
            self._send_results()
        except InputError as error:
            raise SaveError(f"the run is finished, but has no copy of its end: {error}") from None


def steps_in(files: Mapping[str, Known]) -> list[int]:
    """The steps that were copied to their end, ascending."""
    ends = (name.split("/") for name in files if name.endswith(f"/{manifest.NAME}"))
    return sorted(int(parts[1]) for parts in ends if len(parts) == 3 and STEP.fullmatch(parts[1]))
