"""Programs that were compiled before, kept for the next start: JAX's own store, on by default.

On GPUs and TPUs, where a large step compiles for minutes; a CPU's programs are small, and are not
always right on another machine's CPU. Off by JAX_ENABLE_COMPILATION_CACHE=false; elsewhere by
JAX_COMPILATION_CACHE_DIR. Otherwise it lies below the user's own ~/.cache/jaxvision, and holds at
most `MOST_BYTES` when a run starts.
"""

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path

import jax

MOST_BYTES = 10 << 30
ACCELERATORS = ("gpu", "tpu")


def keep_compiled_programs(
    folder: Path, say: Callable[[str], None], most_bytes: int = MOST_BYTES
) -> None:
    """Keep programs in `folder` from now on, where this machine has an accelerator and nobody chose
    otherwise.

    say: is told where no program can be kept; the run goes on without.
    """
    settings = jax.config.values
    if settings["jax_compilation_cache_dir"] or not settings["jax_enable_compilation_cache"]:
        return
    if jax.default_backend() not in ACCELERATORS:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        say(
            f"compiled programs are not kept: {folder}: {error.strerror} (elsewhere by "
            "JAX_COMPILATION_CACHE_DIR)"
        )
        return
    forget_oldest(folder, most_bytes)
    jax.config.update("jax_compilation_cache_dir", str(folder))


def forget_oldest(folder: Path, most_bytes: int) -> None:
    """Delete programs, the one written longest ago first, until the others fit. Other processes may
    do the same meanwhile."""
    files = []
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            files.append((status.st_mtime_ns, status.st_size, path))
    held = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if held <= most_bytes:
            return
        with contextlib.suppress(OSError):
            path.unlink()
        held -= size
