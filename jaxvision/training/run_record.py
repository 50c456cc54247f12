"""What a workdir says about the run in it, and who may use it."""

import contextlib
import datetime
import importlib.metadata
import json
import platform
import subprocess
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from jaxvision.data.atomic_write import atomic_write, open_lines
from jaxvision.data.folder_lock import folder_lock
from jaxvision.data.labels import check_same_names
from jaxvision.errors import InputError
from jaxvision.text_files import fits
from jaxvision.training import manifest
from jaxvision.training.config import as_json, command_line, config_of_run, difference

# One table of what is true of the whole run, beside its config: {"run": id, ...}.
FACTS = "run.json"
CLASSES = "classes"  # names, in the run's table and beside every step
LIBRARIES = ("jaxvision", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries a result depends on."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def commit() -> str | None:
    """The source tree's commit, with "+" where it was changed; None outside a checkout."""
    folder = Path(__file__).resolve().parent
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        git = ["git", "-C", str(folder)]
        head, changed = (
            subprocess.run(
                [*git, *words], capture_output=True, text=True, timeout=10, check=True
            ).stdout.strip()
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain"))
        )
        return head + ("+" if changed else "")
    return None


@contextlib.contextmanager
def open_workdir(
    workdir: Path,
    config: ConfigDict,
    facts: Mapping[str, Any] | None = None,
    bring: Callable[[], None] | None = None,
    names_from: str = "the data",
) -> Iterator[Path]:
    """Make and lock `workdir` for one run of `config`, and note this start in it (`record_config`
    follows).

    facts: of the run, for its table.  bring: called under the lock, may put a run there.
    names_from: what names the classes of `facts`, for messages.

    InputError where it cannot be written, holds a run of another config (the difference is shown),
    or is in use. The lock is the kernel's: it goes with the process, however that ends.
    """
    if jax.process_index():
        yield workdir
        return
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"workdir {workdir}: {error.strerror}") from error
    with folder_lock(workdir / ".lock", f"workdir {workdir}"):
        if bring is not None:
            bring()
        check_same_run(workdir, config, (facts or {}).get(CLASSES, ()), names_from)
        record(workdir, facts or {})
        yield workdir


def check_same_run(
    workdir: Path, config: ConfigDict, classes: Sequence[str] = (), names_from: str = "the data"
) -> None:
    """InputError with the difference where `workdir` holds a run of another config or of classes
    with other names, which `names_from` has, or a config that cannot be read. Where no step was
    ever saved there is no run yet."""
    file = workdir / "config.json"
    if not file.exists() or not has_saved(workdir):
        return
    try:
        lines = difference(as_json(config_of_run(file)), as_json(config))
    except InputError as error:
        raise InputError(
            f"{error}; remove it if what is in this workdir is a run of the config given now"
        ) from error
    if lines:
        raise InputError(f"workdir {workdir} holds a run of another config: {'; '.join(lines)}")
    if trained := class_names_of(workdir):
        check_same_names(classes, trained, f"workdir {workdir}: {names_from}")


def has_saved(workdir: Path) -> bool:
    """Whether a workdir holds steps, whole or not, that a run saved: a save that was killed leaves
    a folder with another name."""
    folders = (workdir / "checkpoints").glob("[0-9]*")
    return any(folder.name.isdecimal() and manifest.begun(folder) for folder in folders)


def record_config(workdir: Path, config: ConfigDict) -> None:
    """config.json: what predictions and evaluations read. Written once nothing can refuse the run
    any more, so that a command that was refused leaves what a healthy run wrote."""
    if jax.process_index() == 0:
        write_json(workdir / "config.json", as_json(config))


def record(workdir: Path, facts: Mapping[str, Any]) -> None:
    """run.json, and one line in runs.jsonl for every start."""
    write_json(workdir / FACTS, {"run": run_id(workdir) or uuid.uuid4().hex, **facts})
    start = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command_line(),
        "commit": commit(),
        "versions": versions(),
        "devices": [d.device_kind for d in jax.devices()],
        "processes": jax.process_count(),
    }
    with open_lines(workdir / "runs.jsonl") as file:
        file.write(json.dumps(start) + "\n")


def run_id(workdir: Path) -> str | None:
    """The id of the run in `workdir`: what its table says, else what most of its checkpoints say,
    else None."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads((workdir / FACTS).read_text())["run"]
        if isinstance(known, str):
            return known
    said: Counter[str] = Counter()
    for folder in (workdir / "checkpoints").glob("[0-9]*"):
        with contextlib.suppress(ValueError):
            said[str(manifest.read(folder).get("run"))] += 1
    return said.most_common(1)[0][0] if said else None


def class_names_of(workdir: Path) -> tuple[str, ...]:
    """The names of the classes of the run in `workdir`, as it was started with: what its table
    says, else its newest checkpoint; () where neither names any."""
    newest_first = sorted((workdir / "checkpoints").glob("[0-9]*/info.json"), reverse=True)
    for file in (workdir / FACTS, *newest_first):
        with contextlib.suppress(OSError, ValueError, AttributeError, RecursionError):
            names = json.loads(file.read_text()).get(CLASSES)
            if names and fits([str])(names):
                return tuple(names)
    return ()


def write_json(path: Path, value: Any) -> None:
    """Indented JSON; a stopped program leaves no half of it."""
    with atomic_write(path) as temporary:
        Path(temporary).write_text(json.dumps(value, indent=1) + "\n")
