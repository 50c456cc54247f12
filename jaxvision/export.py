"""A trained model for those who do not have this library: parameters, and one compiled-anywhere
artifact per platform that runs with jax and flatbuffers alone.

OUT holds `config.json` (the resolved config), `parameters/` (Orbax), `variables.npz` (the same
numbers for a reader with NumPy alone, by flat path), `PLATFORM.jax_export` and `export.json`, which
says what goes in and what comes out, and what the classes are called. To run one:

    exported = jax.export.deserialize(bytearray(open("OUT/cpu.jax_export", "rb").read()))
    outputs = exported.call(dict(numpy.load("OUT/variables.npz")), {"video": clips})
"""

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax import export as jax_export

from jaxvision.data.atomic_write import atomic_write
from jaxvision.errors import InputError, check_choice
from jaxvision.training.config import as_json
from jaxvision.training.run_record import versions, write_json
from jaxvision.training.task import BatchSpecs, Task, Variables
from jaxvision.weights.mapping import flatten, unflatten

PLATFORMS = ("cpu", "cuda", "tpu")
PARAMETERS, ARRAYS, DESCRIPTION = "parameters", "variables.npz", "export.json"

Shapes = dict[str, jax.ShapeDtypeStruct]


def export_model(
    task: Task,
    variables: Variables,
    out: Path,
    platforms: Sequence[str] = PLATFORMS,
    batch_size: int | None = None,
    bucket: str | None = None,
) -> list[Path]:
    """Write everything that the module's docstring names; returns the artifacts.

    The function in an artifact is (variables by flat path, raw batch) -> `Task.predict` of the
    batch prepared as in evaluation, its draws those of the config's seed. What the answer does not
    depend on (labels, teachers) is no input of it.
    batch_size: None for any. bucket: whose shapes of the batch, where there are several. InputError
    for a platform that is unknown and a model whose batch must be fixed.
    """
    for platform in platforms:
        check_choice("platform", platform, PLATFORMS)
    values = {path: np.asarray(jax.device_get(a)) for path, a in flatten(variables).items()}
    shapes = {path: jax.ShapeDtypeStruct(a.shape, a.dtype) for path, a in values.items()}
    function = predictor(task)
    fields = fields_of(task.batch_specs("train"), bucket)
    shapes, fields = used_inputs(function, shapes, fields)
    rows = jax_export.symbolic_shape("b")[0] if batch_size is None else batch_size
    batch = {
        name: jax.ShapeDtypeStruct((rows, *spec.shape[1:]), spec.dtype)
        for name, spec in fields.items()
    }
    out.mkdir(parents=True, exist_ok=True)
    written, exported = [], None
    for platform in platforms:
        exported = export_one(function, shapes, batch, platform)
        written.append(out / f"{platform}.jax_export")
        with atomic_write(written[-1]) as temporary:
            Path(temporary).write_bytes(exported.serialize())
    assert exported is not None
    needed = {path: values[path] for path in shapes}
    save_parameters(out / PARAMETERS, unflatten(values))
    with atomic_write(out / ARRAYS) as temporary, open(temporary, "wb") as file:
        np.savez(file, **needed)  # type: ignore[arg-type]
    write_json(out / "config.json", as_json(task.config))
    outputs = jax.tree.unflatten(exported.out_tree, exported.out_avals)
    told = description(batch, outputs, platforms)
    with contextlib.suppress(InputError):  # of data that are elsewhere
        told["classes"] = list(task.class_names)
    write_json(out / DESCRIPTION, told)
    return written


def predictor(task: Task) -> Any:
    """(variables by flat path, raw batch) -> the task's answer."""

    def predict(variables: Mapping[str, Any], batch: Mapping[str, Any]) -> Any:
        rng = jax.random.key(task.config.seed)
        return task.predict(unflatten(variables), task.prepare(batch, rng, False), rng)

    return predict


def fields_of(specs: BatchSpecs, bucket: str | None) -> Shapes:
    """The fields of the batches of a bucket, or of the only one."""
    if bucket is None:
        if len(specs) > 1:
            raise InputError(f"--bucket: expected one of {', '.join(sorted(specs))}")
        (bucket,) = specs
    check_choice("--bucket", bucket, specs)
    return dict(specs[bucket])


def used_inputs(function: Any, variables: Shapes, batch: Shapes) -> tuple[Shapes, Shapes]:
    """Those of both that the answer depends on. (An input with a symbolic axis always counts as
    used, so `batch` has numbers.)"""
    exported = export_one(function, variables, batch, "cpu")
    # Leaves are numbered in the order of the flattened arguments: dictionaries by sorted key.
    kept = set(exported.module_kept_var_idx)
    first, second = sorted(variables), sorted(batch)
    return (
        {path: variables[path] for number, path in enumerate(first) if number in kept},
        {name: batch[name] for number, name in enumerate(second, len(first)) if number in kept},
    )


def export_one(
    function: Any, variables: Shapes, batch: Shapes, platform: str
) -> jax_export.Exported:
    """The function for one platform; nothing is computed."""
    try:
        return jax_export.export(jax.jit(function), platforms=(platform,))(variables, batch)
    except Exception as error:
        # JAX has no public name for what it raises where a size must be a number.
        symbolic = type(error).__name__ == "InconclusiveDimensionOperation"
        if not symbolic and "_DimExpr" not in str(error):
            raise
        reason = str(error).splitlines()[0]
        raise InputError(f"this model needs a fixed batch; give --batch-size ({reason})") from error


def save_parameters(path: Path, variables: Mapping[str, Any]) -> None:
    """Every variable as an Orbax checkpoint, in place of an earlier one."""
    shutil.rmtree(path, ignore_errors=True)
    with ocp.StandardCheckpointer() as saver:
        saver.save(path.absolute(), dict(variables))


def description(batch: Shapes, outputs: Any, platforms: Sequence[str]) -> dict[str, Any]:
    """What export.json says: shapes hold numbers, or the name of an axis of any length."""

    def words(leaf: Any) -> dict[str, Any]:
        shape = [size if isinstance(size, int) else str(size) for size in leaf.shape]
        return {"shape": shape, "dtype": str(leaf.dtype)}

    return {
        "inputs": {"variables": ARRAYS, "batch": {name: words(s) for name, s in batch.items()}},
        "outputs": jax.tree.map(words, outputs),
        "platforms": list(platforms),
        "versions": versions(),
    }
