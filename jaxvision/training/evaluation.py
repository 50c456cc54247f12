"""Running a task's evaluations: exact over hosts and the last partial batch."""

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from jaxvision.data.conversions import Conversions
from jaxvision.data.listed_files import listed_files
from jaxvision.data.loader import EvaluationBatches, HostBatch, batches
from jaxvision.data.source import Source
from jaxvision.errors import InputError
from jaxvision.training.compilation import compiler_options
from jaxvision.training.row_writes import NO_ROW, write_rows
from jaxvision.training.run import abstract_batch, compile_by_bucket
from jaxvision.training.sharding import (
    batch_parts,
    batch_sharding,
    check_batch,
    place,
    replicated,
    rows_of_host,
)
from jaxvision.training.state import answering_variables
from jaxvision.training.stored_outputs import StoredOutputs
from jaxvision.training.task import BatchSpecs, Evaluation, KeptOutputs, Task, Variables


class Stopped(Exception):
    """The run was told to stop in the middle of an evaluation."""


Table = Sequence[Mapping[str, Any]]  # rows {column: value}, all with the same columns
BATCHES_AHEAD = 2  # on the devices, of evaluations whose outputs stay there


class Evaluator:
    """Compiles each evaluation once and runs it as often as asked. evaluations: the task's, where
    they have been made before."""

    def __init__(
        self,
        task: Task,
        mesh: Mesh,
        workers: int = 0,
        threads: int = 1,
        patience: float = 0.0,
        *,
        evaluations: Mapping[str, Evaluation] | None = None,
    ):
        self._task, self._mesh = task, mesh
        self._reading: dict[str, Any] = {
            "workers": workers,
            "threads": threads,
            "patience": patience,
        }
        self._compiled: dict[str, dict[str, Any]] = {}
        self._keepers: dict[str, dict[str, Keeper]] = {}
        self._allowed = task.config.evaluate.get("max_unreadable", 0)
        self._unreadable: dict[str, set[str]] = {}
        self._conversions = Conversions()
        self._told: set[str] = set()  # about conversions
        self._asked_to_stop: Callable[[], bool] = lambda: False
        self._stored: StoredOutputs | None = None
        self.evaluations = dict(task.evaluations() if evaluations is None else evaluations)
        for name, evaluation in self.evaluations.items():
            check_batch(evaluation.batch_specs, mesh)
            self._look_for_files(name, evaluation.source)

    def compile(self, variables: Variables) -> None:
        """Compile every evaluation for (abstract) variables."""
        variables = answering_variables(self._task, variables)
        for name, evaluation in self.evaluations.items():
            specs = numbered(evaluation.batch_specs)
            if evaluation.accumulate is None:
                self._keepers[name] = {
                    bucket: Keeper(
                        self._outputs(evaluation),
                        variables,
                        abstract_batch(fields, self._mesh),
                        source_of(evaluation, bucket),
                        self._mesh,
                    )
                    for bucket, fields in specs.items()
                }
            else:
                jitted = jax.jit(self._outputs(evaluation), out_shardings=replicated(self._mesh))
                options = compiler_options(self._task.config)
                self._compiled[name] = compile_by_bucket(
                    jitted, variables, specs, self._mesh, options=options
                )

    def run(
        self,
        variables: Variables,
        only: str | None = None,
        progress: Callable[[str], None] = print,
        asked_to_stop: Callable[[], bool] = lambda: False,
        tables: dict[str, Table] | None = None,
        stored: StoredOutputs | None = None,
    ) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """({"<evaluation>/<result>": value}, pictures) of every evaluation, or of one.

        asked_to_stop: asked before every batch; Stopped where it says so.  tables: gets those of
        every evaluation on the first process, and the pictures those of the worst answers.
        stored: what `store` kept of every batch, which is then asked of no device.
        """
        self._stored = stored
        self._asked_to_stop = asked_to_stop
        variables = answering_variables(self._task, variables)
        results: dict[str, float] = {}
        pictures: dict[str, np.ndarray] = {}
        for name, evaluation in self.evaluations.items():
            if only is not None and name != only:
                continue
            lacking = [] if stored is None else stored.unreadable(name)
            self._unreadable[name] = set(lacking)
            self._check_unreadable(name, "".join(lacking[-1:]))
            self._conversions = Conversions()
            kept = evaluation.accumulate is None
            total = (self._keep if kept else self._gather)(name, evaluation, variables, progress)
            with jax.set_mesh(self._mesh):
                finished = evaluation.finish(total, variables)
            results |= {f"{name}/{key}": float(value) for key, value in finished.items()}
            results |= self._incomplete(name, progress)
            self._tell_conversions(name, progress)
            # What lies on all hosts' devices, all must read.
            if evaluation.render is not None and (kept or jax.process_index() == 0):
                rendered = evaluation.render(total)
                pictures |= {f"{name}_{key}": value for key, value in rendered.items()}
            if tables is not None and jax.process_index() == 0:
                if evaluation.tables is not None:
                    told = evaluation.tables(total)
                    tables |= {f"{name}_{key}": rows for key, rows in told.items()}
                if evaluation.worst is not None:
                    worst = evaluation.worst(total)
                    pictures |= {f"{name}_{key}": value for key, value in worst.items()}
        return results, pictures

    def _gather(
        self, name: str, evaluation: Evaluation, variables: Variables, progress: Callable
    ) -> Any:
        """Every record once, bucket by bucket; returns the accumulated total."""
        assert evaluation.accumulate is not None
        total = None
        for bucket in evaluation.batch_specs:
            steps = range(len(self._data(evaluation, bucket)))
            if self._stored is None:
                answers = self._answers(name, bucket, variables, steps, progress)
            else:
                shapes = self._shapes(name, evaluation, variables, bucket)
                answers = self._stored.read(name, bucket, steps, shapes)
            with contextlib.closing(answers):
                for answer, index, valid in answers:
                    answer = jax.tree.map(lambda x: x[valid], answer)  # noqa: B023
                    total = evaluation.accumulate(total, answer, index[valid], bucket)
        return total

    def store(
        self,
        variables: Variables,
        kept: StoredOutputs,
        share: Callable[[range], range],
        only: str | None = None,
        progress: Callable[[str], None] = print,
    ) -> None:
        """Keep the outputs of the batches that `share` takes of each bucket's; those that an
        earlier start kept are not asked again.

        InputError for an evaluation whose outputs stay on the devices.
        """
        variables = answering_variables(self._task, variables)
        for name, evaluation in self.evaluations.items():
            if only is not None and name != only:
                continue
            if evaluation.accumulate is None:
                raise InputError(
                    f"{name}: its outputs stay on the devices, which cannot be done in shards; "
                    f"expected --only one of the others, or no --shard"
                )
            self._unreadable[name] = set(kept.unreadable(name))
            for bucket in evaluation.batch_specs:
                steps = kept.missing(
                    name, bucket, share(range(len(self._data(evaluation, bucket))))
                )
                answers = self._answers(name, bucket, variables, steps, progress)
                with contextlib.closing(answers):
                    for step, answered in zip(steps, answers, strict=True):
                        kept.write(name, bucket, step, answered, self._unreadable[name])
            self._tell_conversions(name, progress)

    def _answers(
        self,
        name: str,
        bucket: str,
        variables: Variables,
        steps: range,
        progress: Callable,
    ) -> Generator[tuple[Any, np.ndarray, np.ndarray], None, None]:
        """(outputs, record numbers, which rows are records) of the batches `steps`, on the host."""
        evaluation = self.evaluations[name]
        with contextlib.closing(self._batches(name, evaluation, bucket, progress, steps)) as placed:
            for batch in placed:
                yield jax.device_get(self._compiled[name][bucket](variables, batch))

    def _shapes(self, name: str, evaluation: Evaluation, variables: Variables, bucket: str) -> Any:
        """Shapes of what `_answers` gives for a batch."""
        fields = numbered(evaluation.batch_specs)[bucket]
        with jax.set_mesh(self._mesh):
            return jax.eval_shape(
                self._outputs(evaluation), variables, abstract_batch(fields, self._mesh)
            )

    def _keep(
        self, name: str, evaluation: Evaluation, variables: Variables, progress: Callable
    ) -> dict[str, KeptOutputs]:
        """Every record once; its outputs in one buffer a bucket, which no host ever holds."""
        total = {}
        for bucket, keeper in self._keepers[name].items():
            rows = keeper.empty()
            written: deque[jax.Array] = deque()
            with contextlib.closing(self._batches(name, evaluation, bucket, progress)) as placed:
                for batch in placed:
                    rows, done = keeper.write(rows, variables, batch)
                    # Nothing is fetched: without this wait, batches would pile up on the devices.
                    written.append(done)
                    if len(written) > BATCHES_AHEAD:
                        jax.block_until_ready(written.popleft())
            total[bucket] = KeptOutputs(rows, keeper.samples)
        return total

    def _data(self, evaluation: Evaluation, bucket: str) -> EvaluationBatches:
        size = next(iter(evaluation.batch_specs[bucket].values())).shape[0]
        shares = tuple((a / size, b / size) for a, b in rows_of_host(self._mesh, size))
        source = source_of(evaluation, bucket)
        return EvaluationBatches(source, bucket, shares, incomplete=self._allowed > 0)

    def _batches(
        self,
        name: str,
        evaluation: Evaluation,
        bucket: str,
        progress: Callable,
        steps: range | None = None,
    ) -> Generator[dict[str, jax.Array], None, None]:
        """The batches of a bucket on the mesh, in order: all, or those that `steps` numbers."""
        size = next(iter(evaluation.batch_specs[bucket].values())).shape[0]
        data = self._data(evaluation, bucket)
        steps = range(len(data)) if steps is None else steps
        if not steps:
            return
        reading = {**self._reading, "start": steps.start, "stop": steps.stop}
        with batches(data, **reading) as iterator:
            for number, host_batch in enumerate(iterator):
                if self._asked_to_stop():
                    raise Stopped
                self._note_unreadable(name, host_batch, progress)
                self._conversions.add(host_batch.converted)
                yield place(host_batch.arrays, self._mesh, size)
                if number and number % 50 == 0:
                    progress(f"{name}: {number}/{len(steps)} batches ({bucket})")

    def _look_for_files(self, name: str, source: Source | Mapping[str, Source]) -> None:
        """InputError at the start, not after the training, where more are missing than allowed."""
        missing = [path for path in listed_files(source) if not path.exists()]
        if len(missing) > self._allowed:
            raise InputError(
                f"{name}: {len(missing)} listed files are missing, first {next(iter(missing))}"
            )

    def _note_unreadable(self, name: str, host_batch: HostBatch, progress: Callable) -> None:
        for record, reason in host_batch.replaced:
            self._unreadable[name].add(record)
            progress(f"{name}: unreadable, left out: {record}: {reason}")
            self._check_unreadable(name, f"{record}: {reason}")

    def _check_unreadable(self, name: str, last: str) -> None:
        if len(self._unreadable[name]) > self._allowed:
            raise InputError(
                f"{name}: {len(self._unreadable[name])} records cannot be read, more than "
                f"evaluate.max_unreadable={self._allowed}; last {last}"
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

    def _tell_conversions(self, name: str, progress: Callable) -> None:
        """What was read otherwise than it is, unless an earlier pass has said the same."""
        told = {f"{name}: {line}": None for line in self._conversions.lines("records")}
        for line in told:
            if line not in self._told:
                progress(line)
        self._told |= told.keys()

    def _outputs(self, evaluation: Evaluation) -> Callable[[Variables, Mapping], Any]:
        def outputs(variables: Variables, batch: Mapping) -> Any:
            # One key for the whole pass: draws are told apart by the record's index.
            prepare_rng, rng = jax.random.split(jax.random.key(self._task.config.seed))
            prepared = self._task.prepare(batch, prepare_rng, False)
            return evaluation.outputs(variables, prepared, rng), batch["index"], batch["valid"]

        return outputs


class Keeper:
    """One bucket's buffer on the devices, compiled: `empty()` makes it, `write` fills a batch in.

    A sample's row is its record's number * samples a record + its place among them.
    """

    def __init__(
        self,
        outputs: Callable[[Variables, Mapping], Any],
        variables: Variables,
        batch: Mapping[str, jax.ShapeDtypeStruct],
        source: Source,
        mesh: Mesh,
    ):
        per_record = batch["index"].shape[0] // source.batch_size
        self.samples = len(source.records) * per_record
        split, parts = batch_sharding(mesh), batch_parts(mesh)
        length = -(-self.samples // parts) * parts

        def zeros(shapes: Any) -> Any:
            return jax.tree.map(lambda x: jnp.zeros((length, *x.shape[1:]), x.dtype), shapes)

        def write(rows: Any, variables: Variables, batch: Mapping) -> Any:
            answer, index, valid = outputs(variables, batch)
            place = jnp.arange(index.shape[0]) % per_record
            target = jnp.where(valid, index * per_record + place, NO_ROW)
            rows = jax.tree.map(lambda row, x: write_rows(row, target, x)[0], rows, answer)
            return rows, jnp.sum(valid)

        with jax.set_mesh(mesh):
            shapes, _, _ = jax.eval_shape(outputs, variables, batch)
            made = jax.jit(lambda: zeros(shapes), out_shardings=split)
            self.empty = made.lower().compile()
            first = jax.tree.map(
                lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=split),
                jax.eval_shape(made),
            )
            jitted = jax.jit(write, donate_argnums=0, out_shardings=(split, None))
            self.write = jitted.lower(first, variables, batch).compile()


def source_of(evaluation: Evaluation, bucket: str) -> Source:
    source = evaluation.source
    return source[bucket] if isinstance(source, Mapping) else source


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
