"""What a workdir says about the run in it, and who may use it."""

import contextlib
import datetime
import fcntl
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from jaxvision.data.atomic_write import atomic_write
from jaxvision.errors import InputError
from jaxvision.training.config import as_json, command_line, difference

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
def open_workdir(workdir: Path, config: ConfigDict) -> Iterator[Path]:
    """Make and lock `workdir` for one run of `config`, and record this start in it.

    InputError where it cannot be written, holds a run of another config (the difference is shown),
    or is in use. The lock is the kernel's: it goes with the process, however that ends.
    """
    if jax.process_index():
        yield workdir
        return
    with contextlib.ExitStack() as stack:
        try:
            workdir.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context((workdir / ".lock").open("a+"))
        except OSError as error:
            raise InputError(f"workdir {workdir}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise InputError(
                f"workdir {workdir} is in use by process {lock.read().strip() or 'unknown'}"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        check_same_run(workdir, config)
        record(workdir, config)
        yield workdir


def check_same_run(workdir: Path, config: ConfigDict) -> None:
    """InputError with the difference where `workdir` holds a run of another config."""
    file = workdir / "config.json"
    if not file.exists():
        return
    lines = difference(json.loads(file.read_text()), as_json(config))
    if lines:
        raise InputError(f"workdir {workdir} holds a run of another config: {'; '.join(lines)}")


def record(workdir: Path, config: ConfigDict) -> None:
    """config.json, and one line in runs.jsonl for every start."""
    write_json(workdir / "config.json", as_json(config))
    start = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command_line(),
        "commit": commit(),
        "versions": versions(),
        "devices": [d.device_kind for d in jax.devices()],
        "processes": jax.process_count(),
    }
    with (workdir / "runs.jsonl").open("a") as file:
        file.write(json.dumps(start) + "\n")


def write_json(path: Path, value: Any) -> None:
    """Indented JSON; a stopped program leaves no half of it."""
    with atomic_write(path) as temporary:
        Path(temporary).write_text(json.dumps(value, indent=1) + "\n")
