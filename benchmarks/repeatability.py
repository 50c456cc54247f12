"""Is a run of one configuration always the same run, on a machine that is busy?

    python benchmarks/repeatability.py [--copies 60] [--at-once 4] [--steps 40]

trains a small video classifier on two devices, from files that each copy writes and decodes itself,
`--at-once` copies side by side: more than there are cores, so that threads and processes meet in
ever other orders. Of each copy it keeps digests of what could differ, in the order in which one
would pass on to the next: the files written, the parameters at the start, the host batch of every
step, the loss of every step to its last bit, and the state saved at the end. Prints how many kinds
of each there were (1 is right) and where the first copy that differed left the others; exit status
1 where there is more than one.
"""

import argparse
import hashlib
import itertools
import json
import os
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.forked_run import FORK, import_all
from jaxvision.training.compilation import OLDER_EMITTERS, as_flags

CLASSES = ("falling", "rising")
SEEN = ("files", "start", "batches", "losses", "end")  # each may pass on what differs to the next
PATIENCE = 1200.0  # s, of one copy
# Each copy compiles for itself, as the tests do: without the compiler's slow passes.
QUICK = {"xla_backend_optimization_level": 0, **OLDER_EMITTERS}
XLA_FLAGS = f"--xla_force_host_platform_device_count=2 {as_flags(QUICK)}"


def write_videos(root: Path) -> None:
    """A folder of class folders: a bright bar that falls or rises, over noise."""
    from jaxvision.viz.files import write_mp4

    draws = np.random.default_rng(0)
    for split, count in (("train", 8), ("validation", 2)):
        for label, name in enumerate(CLASSES):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                clip = draws.integers(0, 60, (12, 48, 64, 3), np.uint8)
                for time_step in range(12):
                    row = 3 * time_step if label == 0 else 33 - 3 * time_step
                    clip[time_step, row : row + 12] = 230
                write_mp4(root / split / name / f"{number}.mp4", clip, 8)


def small_config(root: Path, steps: int) -> Any:
    """VideoMAE's fine-tuning, with all its augmentation, at the size of a thumbnail."""
    from ml_collections import ConfigDict

    from jaxvision.methods.videomae.recipes import finetuning

    rates = {"learning_rate": 1e-3, "layer_decay": 0.9, "drop_path": 0.1}
    config = finetuning("s", "k400", gpus=2, clips=4, epochs=1, **rates)
    config.dtype = "float32"
    config.model.update(
        {"frames": 4, "image_size": (32, 32), "width": 48, "heads": 3, "depth": 2, "patch": 8}
    )
    config.task.update({"stride": 2, "flip": False, "segments": 2})
    config.data.update({"train": str(root / "train"), "validation": str(root / "validation")})
    config.data.update({"workers": 0, "threads": 2})
    config.train.epochs, config.train.steps = 0.0, steps
    config.optim.batch_scaling = 0
    config.optim.learning_rate = ConfigDict({"name": "constant", "value": 2e-3})
    config.log.every_steps = 1
    config.log.pictures_every_steps = 0
    config.evaluate.every_steps = 0
    return config


def digest(tree: Mapping[str, Any]) -> str:
    """Of names, dtypes, shapes and every bit."""
    found = hashlib.sha256()
    for name, value in sorted(tree.items()):
        array = np.ascontiguousarray(value)
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()[:12]


def train_copy(folder: Path, steps: int) -> None:
    """In a process of its own: write the files, train, and write folder/seen.json."""
    os.environ["XLA_FLAGS"] = XLA_FLAGS
    folder.mkdir(parents=True)
    with (folder / "log.txt").open("ab", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        (folder / "seen.json").write_text(json.dumps(observe(folder, steps)))
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(0)


def observe(folder: Path, steps: int) -> dict[str, Any]:
    """Train in `folder`; what is to be the same, by the names of SEEN."""
    import jax

    from benchmarks.survival_checks import leaves, losses
    from jaxvision.registry import make_task
    from jaxvision.training import loop
    from jaxvision.weights.mapping import flatten

    seen: dict[str, Any] = {"batches": []}
    place, start_state = loop.place, loop.start_state

    def watched_place(arrays: Mapping[str, np.ndarray], *rest: Any) -> Any:
        seen["batches"].append(digest(arrays))
        return place(arrays, *rest)

    def watched_start(*arguments: Any) -> Any:
        state = start_state(*arguments)
        seen["start"] = digest(flatten(jax.device_get(state.params)))
        return state

    loop.place, loop.start_state = watched_place, watched_start
    write_videos(folder / "videos")
    files = sorted((folder / "videos").rglob("*.mp4"))
    seen["files"] = digest({p.parent.name + p.name: np.void(p.read_bytes()) for p in files})
    config = small_config(folder / "videos", steps)
    loop.train(make_task(config), config, folder / "run", None, jax.devices()[:2])
    seen["losses"] = [loss.hex() for _, loss in losses(folder / "run")]
    # Batches are placed a few steps ahead; where the run ends, the number of those may differ.
    seen["batches"] = seen["batches"][:steps]
    seen["end"] = digest(leaves(folder / "run" / "checkpoints" / f"{steps:08d}"))
    return seen


def run_copies(out: Path, copies: int, at_once: int, steps: int) -> list[dict[str, Any]]:
    """What each copy saw; {"problem": ...} of one that did not come to its end."""
    running: dict[int, tuple[Any, float]] = {}
    waiting, found = iter(range(copies)), []
    while len(found) < copies:
        for number in itertools.islice(waiting, at_once - len(running)):
            process = FORK.Process(target=train_copy, args=(out / str(number), steps))
            process.start()
            running[number] = process, time.monotonic()
        for number, (process, begun) in list(running.items()):
            late = time.monotonic() > begun + PATIENCE
            if process.exitcode is None and not late:
                continue
            process.kill()
            process.join()
            del running[number]
            file = out / str(number) / "seen.json"
            seen = json.loads(file.read_text()) if file.exists() else {}
            found.append(seen or {"problem": "nothing for too long" if late else "see log.txt"})
            print(f"{len(found)}: copy {number}: {summary(found[-1])}", flush=True)
        time.sleep(0.05)
    return found


def summary(seen: Mapping[str, Any]) -> str:
    return (
        seen.get("problem") or f"last loss {float.fromhex(seen['losses'][-1]):.6f}, {seen['end']}"
    )


def kinds(found: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """By name of SEEN, how often each kind of value was seen, the most frequent first."""
    counted = {name: Counter(json.dumps(seen.get(name)) for seen in found) for name in SEEN}
    return {name: [count for _, count in c.most_common()] for name, c in counted.items()}


def first_difference(found: Sequence[Mapping[str, Any]]) -> str:
    """Where a copy that differs left the first of the others; "" where none does."""
    usual = found[0]
    for number, seen in enumerate(found):
        for name in SEEN:
            mine, theirs = seen.get(name), usual.get(name)
            if mine == theirs:
                continue
            where = ""
            if isinstance(mine, list) and isinstance(theirs, list):
                pairs = enumerate(zip(mine, theirs, strict=False), start=1)
                where = f" at step {next((n for n, (a, b) in pairs if a != b), 'beyond')}"
            return f"copy {number} differs from copy 0 in its {name}{where}"
    return ""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 where all copies were the same."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--copies", type=int, default=60)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path("runs/repeatability"), help="replaced")
    options = parser.parse_args(argv)
    shutil.rmtree(options.out, ignore_errors=True)
    os.environ["JAX_PLATFORMS"] = "cpu"
    # Each compiles for itself, as a test or a user does.
    os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
    import_all()
    found = run_copies(options.out.absolute(), options.copies, options.at_once, options.steps)
    print(f"\n| of {len(found)} copies | kinds | how often |\n| --- | --- | --- |")
    for name, counts in kinds(found).items():
        print(f"| {name} | {len(counts)} | {', '.join(map(str, counts))} |")
    wrong = first_difference(found)
    if wrong:
        print(f"\n{wrong}")
    return int(bool(wrong) or any("problem" in seen for seen in found))


if __name__ == "__main__":
    sys.exit(main())
