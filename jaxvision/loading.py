"""From a file or a workdir to weights in hand."""

import contextlib
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from jaxvision.downloads.shipped import shipped
from jaxvision.errors import InputError, check_choice
from jaxvision.networks import locate, names_of, network_called, official_model, recognise
from jaxvision.registry import load_config, make_task
from jaxvision.stores.local_copies import cache_folder
from jaxvision.trained_names import (
    check_names_known,
    names_in_folder,
    names_of_chain,
    with_names,
)
from jaxvision.training import initialisation
from jaxvision.training.checkpoint import Checkpoints
from jaxvision.training.compilation_cache import keep_compiled_programs
from jaxvision.training.config import config_of_run
from jaxvision.training.mesh import make_mesh, resolve
from jaxvision.training.run_record import class_names_of
from jaxvision.training.settings import SETTINGS
from jaxvision.training.sharding import put
from jaxvision.training.state import abstract_variables, answering_variables
from jaxvision.training.task import Task, Variables
from jaxvision.weights import convert
from jaxvision.weights.checkpoint_file import read_checkpoint
from jaxvision.weights.mapping import flatten, to_state_dict, unflatten
from jaxvision.weights.official import OfficialModel


def load(
    name: str, weights: str | Path | None = None, dtype: str = "float32"
) -> tuple[Any, Variables, Callable]:
    """(model, variables, preprocess) of a published network, e.g. "videomae/vit_b_k400".

    name: also that of weights which are shipped ("emavfi/demo").
    weights: an official file, a folder that `jaxvision convert` made, or the workdir of a run; or
    the name of a file to fetch ("umt/b16_25m.pth"). None: the file published for the network.
    dtype: of activations; parameters are float32. `model` is a Flax module, `variables` a tree of
    host arrays, `preprocess` turns frames or a file into `model`'s input:
    `model.apply(variables, preprocess(video), features=True)`. InputError lists every tensor that
    is missing, left over or of another shape.
    """
    check_choice("dtype", dtype, ("float32", "bfloat16"))
    network_called(name)
    source = locate(name if weights is None else weights)
    if (source / "checkpoints").is_dir():
        network = official_model(name, dtype=dtype)
        variables = convert.part_of_network(read_workdir(source), network)
        convert.check_shapes(variables, network, str(source))
        return network.model, variables, network.preprocess
    if convert.is_converted(source):
        converted = convert.load(source)
        network = official_model(name, converted.origin.names, dtype)
        if shipped(name) is not None:  # what was trained beside it is left out
            part = convert.part_of_network(converted.variables, network)
            converted = replace(converted, variables=part)
        convert.check_shapes(converted.variables, network, str(source))
    else:
        check_is_weights(source, str(source))
        file = read_checkpoint(source)
        network = official_model(name, file.tensors, dtype)
        converted = convert.from_checkpoint(file, network, str(source))
    return network.model, convert.computable(converted.variables), network.preprocess


class NamedWeights(NamedTuple):
    """variables: host arrays.  class_names: that they were trained with; () where it is not known.
    of_run: whether a run here was trained, and the names are those of its data.  method: whose
    network it is; "" where it is not known."""

    variables: Mapping[str, Any]
    class_names: tuple[str, ...]
    of_run: bool
    method: str


def read_weights(source: str) -> Mapping[str, Any]:
    """The variables of `read_named_weights`."""
    return read_named_weights(source).variables


def read_named_weights(source: str) -> NamedWeights:
    """From the workdir of a run (its averaged weights where it kept any; no memory), a folder that
    `jaxvision convert` made, or an official file."""
    path = locate(source)
    if (path / "checkpoints").is_dir():
        variables = read_workdir(path, without=Task.training_only)
        return NamedWeights(variables, class_names_of(path), True, method_of_run(path))
    if convert.is_converted(path):
        converted = convert.load(path)
        origin, found = converted.origin, convert.computable(converted.variables)
        names = names_in_folder(origin)
        return NamedWeights(found, names, bool(origin.classes), method_of(origin.network))
    check_is_weights(path, source)
    file = read_checkpoint(path)
    network = recognise(file.tensors, source)
    converted = convert.from_checkpoint(file, network, source)
    found = convert.computable(converted.variables)
    return NamedWeights(found, names_of(network), False, method_of(network.name))


def method_of(network: str) -> str:
    return network.partition("/")[0]


def method_of_run(workdir: Path) -> str:
    """Whose network was trained in `workdir`; "" where its config does not say."""
    with contextlib.suppress(InputError):
        return str(config_of_run(config_of(workdir)).get("method", ""))
    return ""


def check_is_weights(path: Path, source: str) -> None:
    """InputError where `path`, which is no workdir and no folder that was converted, is no file.
    source: what was asked for."""
    if path.is_file():
        return
    if not path.exists():
        raise InputError(f"{source}: no such file or folder of weights")
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
    variables = read_workdir(workdir, averaged=averaged, without=Task.training_only)
    links = load_config(str(config_of(workdir))).init
    sources = [initial] if initial else [_start(link["from"]) for link in reversed(links)]
    there = [s for s in sources if initial or s.is_file() or convert.is_converted(s)]
    problem = None
    for source in there or (None,):
        network, start = _started_from(name, source)
        try:
            converted = convert.from_run(variables, network, str(workdir), start)
            origin = replace(converted.origin, classes=class_names_of(workdir))
            return network, replace(converted, origin=origin)
        except InputError as error:
            problem = problem or error
    assert problem is not None
    raise problem


def _start(source: str) -> Path:
    """Where a run started from; a published file that cannot be had any more is not there."""
    with contextlib.suppress(InputError):
        return locate(source)
    return Path(source)


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


def keep_programs() -> None:
    """Keep what is compiled from now on for the next start, where that pays."""
    keep_compiled_programs(cache_folder() / "compiled", lambda text: print(text, file=sys.stderr))


def load_run(
    recipe: str | None,
    overrides: Sequence[str],
    workdir: Path | None,
    weights: str | Path | None,
    step: int | None = None,
    compare_names: bool = False,
) -> tuple[Task, Mesh, Variables]:
    """The task of a recipe or of a workdir's run, a mesh, and its weights placed on it: those of
    `weights`, of the workdir, or of the recipe's own `init` chain.

    The task's classes are called as in the run that was trained. compare_names: InputError where
    the data call them otherwise; so it is wherever the command names data of its own.
    """
    # 1. The task, and where its weights are from.
    config = load_config(recipe or str(config_of(workdir)), overrides)
    keep_programs()
    task = make_task(config)
    read: Callable[[str], Mapping[str, Any]] = read_weights
    belonging: contextlib.AbstractContextManager = contextlib.nullcontext()
    if weights is not None:
        named = read_named_weights(str(weights))
        chain, read = [{"from": str(weights)}], lambda _: named.variables
        names, of_run = named.class_names, named.of_run
        belonging = says_whose(str(weights), named.method, config.method, recipe)
    elif workdir is not None:
        chain = [{"from": str(workdir)}]
        read = partial(read_workdir, step=step, without=task.training_only)
        names, of_run = class_names_of(workdir), True
    elif config.init:
        if not any(word.startswith("init") for word in overrides):
            check_names_known(task)
        chain, names, of_run = config.init, names_of_chain(config.init), True
    else:
        raise InputError("no weights: give --workdir, --weights or --config.init")
    # 2. Its classes are those of the weights; its variables lie on a mesh of the devices here.
    keys = {word.partition("=")[0] for word in overrides}
    own_data = recipe is not None or any(
        key.startswith("data.") and key not in SETTINGS for key in keys
    )
    compare = compare_names or own_data
    mesh = make_mesh(answering_mesh(config.mesh.to_dict(), overrides, recipe is None))
    with belonging:
        task = with_names(task, names, of_run, compare, must_read="data.labels" in keys)
        shapes, shardings, _ = abstract_variables(task, mesh)
        shapes = answering_variables(task, shapes)
        loaded, reports = initialisation.apply(shapes, chain, read, task.adapt)
    # 3. All parameters are there, each in its place.
    found = {path for report in reports for path in report.loaded}
    lacking = [path for path in flatten(shapes) if path not in found and path[:7] == "params/"]
    if lacking:
        sources = ", ".join(report.source for report in reports)
        raise InputError(f"{sources}: no {', '.join(lacking[:6])}")
    where = flatten(shardings)
    placed = {path: put(value, where[path]) for path, value in flatten(loaded).items()}
    return task, mesh, unflatten(placed)


@contextlib.contextmanager
def says_whose(source: str, method: str, wanted: str, recipe: str | None) -> Iterator[None]:
    """Around what fails where the weights in `source` are not a recipe's: says whose they are.

    method: that they are of, "" where it is not known.  wanted: the recipe's.
    """
    try:
        yield
    except InputError as error:
        demo = shipped(source)
        if method not in ("", wanted):
            wrong = f"{source}: weights of {method!r}; the recipe is of {wanted!r}"
            raise InputError(wrong) from error
        if demo is not None and demo.recipe != recipe:
            raise InputError(f"{error}; {demo.name} is of --config {demo.recipe}") from error
        raise
