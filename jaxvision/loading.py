"""From a file or a workdir to weights in hand."""

import importlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from jaxvision.errors import InputError, nearest
from jaxvision.registry import METHODS, load_config, make_task
from jaxvision.training import initialisation
from jaxvision.training.checkpoint import Checkpoints
from jaxvision.training.mesh import make_mesh, resolve
from jaxvision.training.sharding import put
from jaxvision.training.state import abstract_variables, answering_variables
from jaxvision.training.task import Task, Variables
from jaxvision.weights import convert
from jaxvision.weights.checkpoint_file import read_checkpoint
from jaxvision.weights.mapping import flatten, to_state_dict, unflatten
from jaxvision.weights.official import OfficialModel


def load(name: str, weights: str | Path, dtype: str = "float32") -> tuple[Any, Variables, Callable]:
    """(model, variables, preprocess) of a published network, e.g. "videomae/vit_b_k400".

    weights: an official file, a folder that `jaxvision convert` made, or the workdir of a run.
    dtype: of activations; parameters are float32. `model` is a Flax module, `variables` a tree of
    host arrays, `preprocess` turns frames or a file into `model`'s input:
    `model.apply(variables, preprocess(video), features=True)`. InputError lists every tensor that
    is missing, left over or of another shape.
    """
    source = Path(weights)
    if (source / "checkpoints").is_dir():
        network = official_model(name, dtype=dtype)
        variables = convert.part_of_network(read_workdir(source), network)
        convert.check_shapes(variables, network, str(source))
        return network.model, variables, network.preprocess
    if convert.is_converted(source):
        converted = convert.load(source)
        network = official_model(name, converted.origin.names, dtype)
        convert.check_shapes(converted.variables, network, str(source))
    else:
        file = read_checkpoint(source)
        network = official_model(name, file.tensors, dtype)
        converted = convert.from_checkpoint(file, network, str(source))
    return network.model, convert.computable(converted.variables), network.preprocess


def official_model(name: str, tensors: Iterable[str] = (), dtype: str = "float32") -> OfficialModel:
    """The network called "<method>/<variant>"; `tensors`: the names in a file about to be read."""
    method, slash, variant = name.partition("/")
    if method not in METHODS or not slash:
        raise InputError(f"{name}: expected METHOD/VARIANT{nearest(method, METHODS)}")
    module = _pretrained(method)
    if module is None:
        raise InputError(f"{METHODS[method].title} ({method}) has no published networks here yet")
    return module.official_model(variant, tensors, dtype)


def recognise(tensors: Mapping[str, Any], source: str) -> OfficialModel:
    """The network whose official tensors a file holds, whichever method's it is."""
    for method in METHODS:
        module = _pretrained(method)
        network = module.recognise(tensors) if module else None
        if network is not None:
            return network
    raise InputError(
        f"{source}: its tensors ({', '.join(list(tensors)[:3])} ...) are of no published network "
        "known here"
    )


def published(method: str) -> list[dict[str, str]]:
    """A method's published weights: `network`, `file`, and what else is known of each, by name."""
    module = _pretrained(method)
    return module.published() if module else []


def _pretrained(method: str) -> Any:
    """The module of a method that knows its published networks, or None where it has none yet."""
    name = f"jaxvision.methods.{method}.pretrained"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and name.startswith(error.name):
            return None
        raise


def read_weights(source: str) -> Mapping[str, Any]:
    """Variables (host arrays) from the workdir of a run (its averaged weights where it kept any; no
    memory), a folder that `jaxvision convert` made, or an official file."""
    path = Path(source)
    if (path / "checkpoints").is_dir():
        return read_workdir(path, without=Task.training_only)
    if convert.is_converted(path):
        return convert.computable(convert.load(path).variables)
    if path.is_file():
        file = read_checkpoint(path)
        network = recognise(file.tensors, source)
        return convert.computable(convert.from_checkpoint(file, network, source).variables)
    raise InputError(
        f"{source}: expected the workdir of a run (with a checkpoints folder), a folder of "
        "converted weights, or an official file"
    )


def official_from_run(
    name: str, workdir: Path, *, averaged: bool | None = None, initial: Path | None = None
) -> tuple[OfficialModel, convert.Converted]:
    """The network called `name` with the weights of a run.

    averaged: as for `Checkpoints.read_variables`.  initial: an official file, or a folder of ours,
    that holds what training does not touch; without it, what the run's own `init` names is looked
    through, the last first.
    """
    variables = read_workdir(workdir, averaged=averaged)
    links = load_config(str(config_of(workdir))).init
    sources = [initial] if initial else [Path(link["from"]) for link in reversed(links)]
    there = [s for s in sources if initial or s.is_file() or convert.is_converted(s)]
    problem = None
    for source in there or (None,):
        network, start = _started_from(name, source)
        try:
            return network, convert.from_run(variables, network, str(workdir), start)
        except InputError as error:
            problem = problem or error
    assert problem is not None
    raise problem


def _started_from(
    name: str, source: Path | None
) -> tuple[OfficialModel, tuple[dict[str, Any], convert.Origin] | None]:
    """The network called `name` as `source` holds it, and its official tensors there."""
    if source is None:
        return official_model(name), None
    if convert.is_converted(source):
        converted = convert.load(source)
        network = official_model(name, converted.origin.names)
        if converted.origin.network != network.name:
            return network, (converted.unused, converted.origin)
        tensors = to_state_dict(converted.variables, network.entries, converted.unused)
        return network, (tensors, converted.origin)
    file = read_checkpoint(source)
    network = official_model(name, file.tensors)
    return network, convert.official_tensors(file, network)


def read_workdir(
    workdir: Path | str,
    step: int | None = None,
    averaged: bool | None = None,
    without: Collection[str] = (),
) -> Mapping[str, Any]:
    """Variables of the newest whole checkpoint (up to `step`) of a run, all collections but those
    of `without`; averaged: as for `Checkpoints.read_variables`."""
    checkpoints = Checkpoints(Path(workdir))
    found = checkpoints.usable_step(step)
    if found is None:
        raise InputError(f"{workdir}: no whole checkpoint there")
    return checkpoints.read_variables(found, averaged, without)


def config_of(workdir: Path | None) -> Path:
    """The file that says what the run in `workdir` is."""
    if workdir is None:
        raise InputError("say which model: --workdir of a run, or --config with --weights")
    file = workdir / "config.json"
    if not file.is_file():
        raise InputError(f"{workdir}: no run's workdir (config.json is missing)")
    return file


def answering_mesh(axes: dict[str, int], overrides: Sequence[str], of_run: bool) -> dict[str, int]:
    """The mesh of an evaluation or a prediction. That of a training run (`of_run`) was chosen for
    other machines: where the devices here cannot fill it, all of them share the batch, unless the
    command itself asks for a mesh."""
    asked = any(override.startswith("mesh.") for override in overrides)
    if asked or not of_run:
        return axes
    try:
        resolve(axes, jax.device_count())
    except InputError:
        return {"data": -1, "fsdp": 1, "tensor": 1}
    return axes


def load_run(
    recipe: str | None,
    overrides: Sequence[str],
    workdir: Path | None,
    weights: Path | None,
    step: int | None = None,
) -> tuple[Task, Mesh, Variables]:
    """The task of a recipe or of a workdir's run, a mesh, and its weights placed on it: those of
    `weights`, of the workdir, or of the recipe's own `init` chain."""
    config = load_config(recipe or str(config_of(workdir)), overrides)
    task = make_task(config)
    mesh = make_mesh(answering_mesh(config.mesh.to_dict(), overrides, recipe is None))
    shapes, shardings, _ = abstract_variables(task, mesh)
    shapes = answering_variables(task, shapes)
    read: Callable[[str], Mapping[str, Any]] = read_weights
    if weights is not None:
        chain = [{"from": str(weights)}]
    elif workdir is not None:
        chain = [{"from": str(workdir)}]
        read = partial(read_workdir, step=step, without=task.training_only)
    elif config.init:
        chain = config.init
    else:
        raise InputError("no weights: give --workdir, --weights or --config.init")
    loaded, reports = initialisation.apply(shapes, chain, read, task.adapt)
    found = {path for report in reports for path in report.loaded}
    lacking = [path for path in flatten(shapes) if path not in found and path[:7] == "params/"]
    if lacking:
        sources = ", ".join(report.source for report in reports)
        raise InputError(f"{sources}: no {', '.join(lacking[:6])}")
    where = flatten(shardings)
    placed = {path: put(value, where[path]) for path, value in flatten(loaded).items()}
    return task, mesh, unflatten(placed)
