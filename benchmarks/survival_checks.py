"""What a workdir shows after a kill: its log of losses, and its checkpoints beside those of a run
that was left alone."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.forked_run import end_with
from jaxvision.training import manifest
from jaxvision.training.checkpoint import DELETED, LEFTOVER, STEP
from jaxvision.training.run_record import run_id


def losses(workdir: Path) -> list[tuple[int, float]]:
    """(step, loss) as logged, in the order of the log: a step that was run twice is there twice."""
    file = workdir / "metrics.jsonl"
    if not file.exists():
        return []
    whole = [line for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]
    rows = [json.loads(line) for line in whole]
    return [(row["step"], row["loss"]) for row in rows if "loss" in row]


def wrong_losses(
    new: list[tuple[int, float]], before: int, expected: dict[int, float]
) -> list[str]:
    """What is wrong with the rows of one life that began from the checkpoint of step `before`: each
    step once, in order, with the loss of the same step of a run left alone. A loss says which
    samples were in its batch."""
    steps = [step for step, _ in new]
    said = []
    if steps != list(range(before + 1, before + 1 + len(steps))):
        said.append(f"steps {steps} after step {before}")
    other = [step for step, loss in new if loss != expected.get(step)]
    if other:
        said.append(f"another loss at step {other[0]}")
    return said


def committed(workdir: Path) -> list[int]:
    """Steps that a run would take for saved, ascending."""
    folders = (workdir / "checkpoints").glob("[0-9]*")
    return sorted(int(p.name) for p in folders if STEP.fullmatch(p.name) and manifest.begun(p))


def being_saved(workdir: Path, since: float = 0.0) -> bool:
    """Whether a checkpoint is half written; since: only one begun after this time."""
    folder = workdir / "checkpoints"
    for entry in folder.iterdir() if folder.is_dir() else ():
        if LEFTOVER.fullmatch(entry.name) and not entry.name.endswith(DELETED):
            try:
                if entry.stat().st_mtime >= since:
                    return True
            except FileNotFoundError:  # committed meanwhile
                continue
    return False


def half_steps(workdir: Path) -> list[str]:
    """A line for each committed step that is not as its manifest says, of this run and number."""
    folder, run = workdir / "checkpoints", run_id(workdir)
    found = (
        manifest.damage(folder / f"{step:08d}", {"run": run, "step": step})
        for step in committed(workdir)
    )
    return [line for line in found if line is not None]


def leaves(folder: Path) -> dict[str, np.ndarray]:
    """Every array of a step: parameters, their averages, the optimizer's state, the step itself."""
    import jax
    import orbax.checkpoint as ocp

    logging.getLogger("absl").setLevel(logging.ERROR)  # it misses files that nothing here writes
    reader = ocp.PyTreeCheckpointer()
    tree = reader.metadata(folder.absolute()).item_metadata.tree
    arrays = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
    read = reader.restore(folder.absolute(), args=ocp.args.PyTreeRestore(tree, arrays))
    found, _ = jax.tree_util.tree_flatten_with_path(read)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in found}


def differing(mine: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> list[str]:
    """Names of leaves that are not the same, bit for bit."""

    def content(tree: dict[str, np.ndarray], name: str) -> Any:
        return name in tree and (tree[name].dtype, tree[name].shape, tree[name].tobytes())

    names = sorted(mine.keys() | theirs.keys())
    return [name for name in names if content(mine, name) != content(theirs, name)]


def answer_differences(connection: Any, reference: Path, parent: int) -> None:
    """In a process of its own, since it uses JAX: for each workdir and step that comes, send (count
    of leaves, names of those that are not `reference`'s of the same step). An error is a name."""
    end_with(parent)
    known: dict[int, dict[str, np.ndarray]] = {}
    while (asked := connection.recv()) is not None:
        workdir, step = asked
        place = Path("checkpoints") / f"{step:08d}"
        try:
            if step not in known:
                known[step] = leaves(reference / place)
            answer = len(known[step]), differing(leaves(workdir / place), known[step])
        except Exception as error:
            answer = 0, [f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"]
        connection.send(answer)
