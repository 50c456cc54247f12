"""Running a task's evaluations: exact over hosts and the last partial batch."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from jaxvision.data.loader import EvaluationBatches, HostBatch, batches
from jaxvision.data.source import Source, missing_files
from jaxvision.errors import InputError
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
        self._allowed = task.config.evaluate.get("max_unreadable", 0)
        self._unreadable: dict[str, set[str]] = {}
        self.evaluations = dict(task.evaluations())
        for name, evaluation in self.evaluations.items():
            check_batch(evaluation.batch_specs, mesh)
            self._look_for_files(name, evaluation.source)

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
            results |= self._incomplete(name, progress)
            if evaluation.render is not None and jax.process_index() == 0:
                rendered = evaluation.render(total)
                pictures |= {f"{name}_{key}": value for key, value in rendered.items()}
        return results, pictures

    def _pass(
        self, name: str, evaluation: Evaluation, variables: Variables, progress: Callable
    ) -> Any:
        """Every record once, bucket by bucket; returns the accumulated total."""
        total = None
        self._unreadable[name] = set()
        for bucket, specs in evaluation.batch_specs.items():
            size = next(iter(specs.values())).shape[0]
            shares = tuple((a / size, b / size) for a, b in rows_of_host(self._mesh, size))
            source = evaluation.source
            if isinstance(source, Mapping):
                source = source[bucket]
            data = EvaluationBatches(source, bucket, shares, incomplete=self._allowed > 0)
            with batches(data, **self._reading) as iterator:
                for number, host_batch in enumerate(iterator):
                    self._note_unreadable(name, host_batch, progress)
                    batch = place(host_batch.arrays, self._mesh, size)
                    answered = self._compiled[name][bucket](variables, batch)
                    answer, index, valid = jax.device_get(answered)
                    answer = jax.tree.map(lambda x: x[valid], answer)  # noqa: B023
                    total = evaluation.accumulate(total, answer, index[valid])
                    if number and number % 50 == 0:
                        progress(f"{name}: {number}/{len(data)} batches ({bucket})")
        return total

    def _look_for_files(self, name: str, source: Source | Mapping[str, Source]) -> None:
        """InputError at the start, not after the training, where more are missing than allowed."""
        sources = source.values() if isinstance(source, Mapping) else (source,)
        missing = dict.fromkeys(path for each in sources for path in missing_files(each.records))
        if len(missing) > self._allowed:
            raise InputError(
                f"{name}: {len(missing)} listed files are missing, first {next(iter(missing))}"
            )

    def _note_unreadable(self, name: str, host_batch: HostBatch, progress: Callable) -> None:
        for record, reason in host_batch.replaced:
            self._unreadable[name].add(record)
            progress(f"{name}: unreadable, left out: {record}: {reason}")
            if len(self._unreadable[name]) > self._allowed:
                raise InputError(
                    f"{name}: {len(self._unreadable[name])} records cannot be read, more than "
                    f"evaluate.max_unreadable={self._allowed}; last {record}: {reason}"
                )

    def _incomplete(self, name: str, progress: Callable) -> dict[str, float]:
        """{"<evaluation>/unreadable": records left out, over all hosts}, where there are any."""
        mine = np.int32(len(self._unreadable[name]))
        several = jax.process_count() > 1
        left_out = int(np.sum(multihost_utils.process_allgather(mine)) if several else mine)
        if not left_out:
            return {}
        progress(f"{name}: incomplete: {left_out} records could not be read")
        return {f"{name}/unreadable": float(left_out)}

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
