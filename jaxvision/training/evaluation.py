"""Running a task's evaluations: exact over hosts and the last partial batch."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxvision.data.loader import EvaluationBatches, batches
from jaxvision.training.run import compile_by_bucket
from jaxvision.training.sharding import check_batch, place, replicated, rows_of_host
from jaxvision.training.task import BatchSpecs, Evaluation, Task, Variables


class Evaluator:
    """Compiles each evaluation once and runs it as often as asked."""

    def __init__(
        self, task: Task, mesh: Mesh, workers: int = 0, threads: int = 1, patience: float = 0.0
    ):
        self._task, self._mesh = task, mesh
        self._reading: dict[str, Any] = {
            "workers": workers,
            "threads": threads,
            "patience": patience,
        }
        self._compiled: dict[str, dict[str, Any]] = {}
        self.evaluations = dict(task.evaluations())
        for evaluation in self.evaluations.values():
            check_batch(evaluation.batch_specs, mesh)

    def compile(self, variables: Variables) -> None:
        """Compile every evaluation for (abstract) variables."""
        for name, evaluation in self.evaluations.items():
            self._compiled[name] = compile_by_bucket(
                self._jit(evaluation), variables, numbered(evaluation.batch_specs), self._mesh
            )

    def run(
        self, variables: Variables, only: str | None = None, progress: Callable[[str], None] = print
    ) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """({"<evaluation>/<result>": value}, pictures) of every evaluation, or of one."""
        results: dict[str, float] = {}
        pictures: dict[str, np.ndarray] = {}
        for name, evaluation in self.evaluations.items():
            if only is not None and name != only:
                continue
            total = self._pass(name, evaluation, variables, progress)
            finished = evaluation.finish(total, variables)
            results |= {f"{name}/{key}": float(value) for key, value in finished.items()}
            if evaluation.render is not None and jax.process_index() == 0:
                rendered = evaluation.render(total)
                pictures |= {f"{name}_{key}": value for key, value in rendered.items()}
        return results, pictures

    def _pass(
        self, name: str, evaluation: Evaluation, variables: Variables, progress: Callable
    ) -> Any:
        """Every record once, bucket by bucket; returns the accumulated total."""
        total = None
        for bucket, specs in evaluation.batch_specs.items():
            size = next(iter(specs.values())).shape[0]
            shares = tuple((a / size, b / size) for a, b in rows_of_host(self._mesh, size))
            source = evaluation.source
            if isinstance(source, Mapping):
                source = source[bucket]
            data = EvaluationBatches(source, bucket, shares)
            with batches(data, **self._reading) as iterator:
                for number, host_batch in enumerate(iterator):
                    batch = place(host_batch.arrays, self._mesh, size)
                    answered = self._compiled[name][bucket](variables, batch)
                    answer, index, valid = jax.device_get(answered)
                    answer = jax.tree.map(lambda x: x[valid], answer)  # noqa: B023
                    total = evaluation.accumulate(total, answer, index[valid])
                    if number and number % 50 == 0:
                        progress(f"{name}: {number}/{len(data)} batches ({bucket})")
        return total

    def _jit(self, evaluation: Evaluation) -> Any:
        def outputs(variables: Variables, batch: Mapping) -> Any:
            # One key for the whole pass: draws are told apart by the record's index.
            prepare_rng, rng = jax.random.split(jax.random.key(self._task.config.seed))
            prepared = self._task.prepare(batch, prepare_rng, False)
            return evaluation.outputs(variables, prepared, rng), batch["index"], batch["valid"]

        return jax.jit(outputs, out_shardings=replicated(self._mesh))


def numbered(specs: BatchSpecs) -> BatchSpecs:
    """`specs` with the two fields that every evaluation batch carries."""
    numbered = {}
    for bucket, fields in specs.items():
        size = next(iter(fields.values())).shape[0]
        numbered[bucket] = {
            "index": jax.ShapeDtypeStruct((size,), jnp.int32),
            "valid": jax.ShapeDtypeStruct((size,), jnp.bool_),
            **fields,
        }
    return numbered
