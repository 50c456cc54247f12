"""From a file or a workdir to weights in hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from jaxvision.errors import InputError
from jaxvision.registry import make_task
from jaxvision.training import initialisation
from jaxvision.training.checkpoint import Checkpoints
from jaxvision.training.config import load_config
from jaxvision.training.mesh import make_mesh
from jaxvision.training.sharding import put
from jaxvision.training.state import abstract_variables
from jaxvision.training.task import Task, Variables
from jaxvision.weights.mapping import flatten, unflatten


def read_weights(source: str) -> Mapping[str, Any]:
    """Variables (host arrays) from the workdir of a run, its averaged weights where it kept any."""
    path = Path(source)
    if (path / "checkpoints").is_dir():
        return read_workdir(path)
    raise InputError(f"{source}: expected the workdir of a run (it has a checkpoints folder)")


def read_workdir(workdir: Path, step: int | None = None) -> Mapping[str, Any]:
    """Variables of the newest whole checkpoint (up to `step`) of a run."""
    checkpoints = Checkpoints(workdir)
    found = checkpoints.usable_step(step)
    if found is None:
        raise InputError(f"{workdir}: no whole checkpoint there")
    return checkpoints.read_variables(found)


def load_run(
    recipe: str | None,
    overrides: Sequence[str],
    workdir: Path | None,
    weights: Path | None,
    step: int | None = None,
) -> tuple[Task, Mesh, Variables]:
    """The task of a recipe or of a workdir's run, a mesh, and its weights placed on it."""
    if recipe is None and workdir is None:
        raise InputError("say which model: --workdir of a run, or --config with --weights")
    config = load_config(recipe or str(workdir / "config.json"), overrides)  # type: ignore[operator]
    task = make_task(config)
    mesh = make_mesh(config.mesh.to_dict())
    shapes, shardings, _ = abstract_variables(task, mesh)
    if weights is not None:
        values = read_weights(str(weights))
    elif workdir is not None:
        values = read_workdir(workdir, step)
    else:
        raise InputError("no weights: give --workdir or --weights")

    def given(_: str) -> Mapping[str, Any]:
        return values

    loaded, reports = initialisation.apply(shapes, [{"from": str(weights or workdir)}], given)
    if reports[0].kept:
        raise InputError(f"{weights or workdir} lacks {', '.join(reports[0].kept[:6])}")
    where = flatten(shardings)
    placed = {path: put(value, where[path]) for path, value in flatten(loaded).items()}
    return task, mesh, unflatten(placed)
