"""The training loop: read it top to bottom.

Nothing in it waits for the device between log points, and nothing in it compiles.
"""

import contextlib
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxvision.data.conversions import Conversions
from jaxvision.data.listed_files import look_for_some
from jaxvision.data.loader import HostBatch, batches
from jaxvision.errors import InputError, writing
from jaxvision.training.checkpoint import Checkpoints, SaveError
from jaxvision.training.compilation import compiler_options
from jaxvision.training.config import as_json, check_choices
from jaxvision.training.evaluation import Evaluator, Stopped
from jaxvision.training.preemption import Preempted, StopSignal
from jaxvision.training.reporting import Reporter
from jaxvision.training.run import ReadWeights, Run, compile_by_bucket, prepare_run
from jaxvision.training.run_record import CLASSES, open_workdir, record_config, versions
from jaxvision.training.sharding import place, replicated
from jaxvision.training.state import TrainState, answering_variables
from jaxvision.training.step import Metrics
from jaxvision.training.stored_steps import StoredSteps
from jaxvision.training.task import Task

PlacedBatch = tuple[HostBatch, dict[str, jax.Array]]

PLACED_AHEAD = 2  # batches on the device before their step


def train(
    task: Task,
    config: ConfigDict,
    workdir: Path,
    read_weights: ReadWeights,
    devices: Sequence[jax.Device] | None = None,
    recipe: str = "",
    copies: str = "",
) -> dict[str, float]:
    """Train `task` in `workdir` to its last step, from its newest checkpoint if there is one.

    devices: what the mesh is made of; all by default.  recipe: what `config` was made from.
    copies: address in an object store where every whole checkpoint is copied, too, and from where
    one comes that the workdir lacks.

    Returns the last evaluation's results. Raises Preempted after SIGTERM or SIGINT, with the state
    saved; InputError for bad input.
    """
    check_choices(config)
    facts = {"recipe": recipe, CLASSES: list(task.class_names)}
    stored = StoredSteps(workdir, copies) if copies and jax.process_index() == 0 else None
    with (
        writing(workdir),
        open_workdir(workdir, config, facts, stored.bring if stored else None, task.names_from()),
        jax.debug_nans(config.debug),
    ):
        run = prepare_run(task, config, devices)
        checkpoints = Checkpoints(
            workdir,
            config.checkpoint.keep,
            config.checkpoint.best,
            config.checkpoint.best_mode,
            stored.send if stored else None,
        )
        with checkpoints, Reporter(workdir, run.steps, jax.process_index() == 0) as reporter:
            reporter.config(as_json(config))
            state = start_state(run, checkpoints, reporter, read_weights)
            if (step := int(state.step)) >= run.steps:
                reporter.say(f"step {step} was the last one: nothing is left to train")
            run = run.before_training(state, reporter.say)
            loop = Loop(run, checkpoints, reporter, workdir)
            record_config(workdir, config)
            start_up_report(run, loop.compiled, reporter)
            results = loop.run(state)
            if stored:
                stored.finish()
            return results


def start_state(
    run: Run, checkpoints: Checkpoints, reporter: Reporter, read_weights: ReadWeights
) -> TrainState:
    """The newest whole checkpoint's state, or a fresh one through the initialisation chain."""
    reporter.say("start-up: the state, of the newest checkpoint or a fresh one")
    started = time.perf_counter()
    checkpoints.mend_frozen(lambda: run.initial_state(read_weights)[0], reporter.say)
    step = checkpoints.usable_step(report=reporter.say)
    if step is not None:
        state = run.resumed(checkpoints.restore(step, run.target))
        reporter.say(f"resumed from step {step}: {checkpoints.path(step)}")
    else:
        # What is wrong with their data is said before weights are fetched.
        run.evaluations = run.task.evaluations()
        state, reports = run.initial_state(read_weights)
        for report in reports:
            reporter.say(f"init: {report}")
    run.seconds["restore" if step is not None else "initialise"] = time.perf_counter() - started
    return state


def start_up_report(run: Run, compiled: Mapping[str, Any], reporter: Reporter) -> None:
    """What a person wants to know before the first step."""
    trained = sum(x.size for x in jax.tree.leaves(run.target.params))
    frozen = sum(x.size for x in jax.tree.leaves(run.target.frozen))
    reporter.say(
        f"{trained:,} parameters trained"
        + (f", {frozen:,} frozen" if frozen else "")
        + f"; {run.steps} steps of {run.config.train.batch_size} records"
        + f" ({run.steps_per_epoch} an epoch)"
        + f" on {run.mesh.devices.size} x {run.mesh.devices.flat[0].device_kind}"
        + f" as {dict(run.mesh.shape)}"
    )
    for source in {id(s): s for s in run.data.sources.values()}.values():
        # Only records of folders and lists have something to say.
        if hasattr(source.records, "summary"):
            reporter.say(f"data: {source.records.summary()}")
    flops = run.task.flops("train")
    if flops:
        reporter.say(f"{flops:.3g} floating-point operations a step (counted)")
    for bucket, step in compiled.items():
        memory = step.memory_analysis() if hasattr(step, "memory_analysis") else None
        if memory is not None:
            mib = {
                name: getattr(memory, f"{name}_size_in_bytes") / 2**20
                for name in ("argument", "temp", "output")
            }
            shown = ", ".join(f"{name} {value:.1f}" for name, value in mib.items())
            reporter.say(f"bucket {bucket!r}: MiB per device: {shown}")
    for fallback in run.fallbacks:
        reporter.say(f"sharding: {fallback}")
    phases = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in run.seconds.items())
    reporter.say(f"start-up: {phases}")


class Loop:
    """The steps of one run, and what happens between them."""

    def __init__(
        self,
        run: Run,
        checkpoints: Checkpoints,
        reporter: Reporter,
        workdir: Path,
    ):
        self.config, self.workdir = run.config, workdir
        self.prepared, self.checkpoints, self.reporter = run, checkpoints, reporter
        data = run.config.data
        # Before minutes of compilation: it looks for the files that it will read.
        readers = data.workers, data.threads, data.patience
        look_for_some(run.data.sources)
        self.evaluator = Evaluator(run.task, run.mesh, *readers, evaluations=run.evaluations)
        buckets = ", ".join(run.task.batch_specs("train"))
        reporter.say(f"start-up: compiling the step ({buckets})")
        self.compiled = run.compile()
        started = time.perf_counter()
        if self.evaluator.evaluations:
            names = ", ".join(self.evaluator.evaluations)
            reporter.say(f"start-up: compiling the evaluations ({names})")
        self.evaluator.compile(run.target.variables())
        self.predict = compile_predict(run) if run.config.log.pictures_every_steps else {}
        run.seconds["compile evaluations"] = time.perf_counter() - started
        self.pending: list[tuple[int, Metrics]] = []  # metrics not yet read
        # Names of the records of every step whose metrics may still be unread.
        self.recent: deque[tuple[int, list[str]]] = deque(maxlen=run.config.log.every_steps + 1)
        self.records_read = self.records_replaced = self.not_finite = 0
        self.unreadable: set[str] = set()
        self.supervised: int | None = 0  # targets met so far; None needs none
        self.conversions = Conversions()
        sources = {id(s): s for s in run.data.sources.values()}.values()
        self.records = sum(len(source.records) for source in sources)
        self.results: dict[str, float] = {}
        # Asked at every step, for which a config's own look-up is slow.
        chosen = run.config.evaluate
        passed = round(chosen.every_epochs * run.steps_per_epoch)
        self.evaluate_every = chosen.every_steps, passed
        self.save_every = run.config.checkpoint.every_steps
        self.save_seconds = 60 * run.config.checkpoint.every_minutes
        self.saved = 0  # the last step that a save was begun of
        self.saved_at = time.monotonic()

    def run(self, state: TrainState) -> dict[str, float]:
        first, steps = int(state.step), self.prepared.steps
        log, best = self.config.log.to_dict(), self.config.checkpoint.best
        # A run that ended between a save and its evaluation owes the latter.
        self.results = self.checkpoints.results(first)
        if first and self.evaluates(first) and not self.checkpoints.evaluated(first):
            self.evaluate(first, state)
        try:
            with (
                StopSignal() as stop,
                batches(
                    self.prepared.data,
                    first,
                    self.config.data.workers,
                    self.config.data.threads,
                    self.config.data.patience,
                ) as host_batches,
                contextlib.closing(self.placed(host_batches)) as placed,
            ):
                for step in range(first, steps):
                    self.profile(step)
                    host_batch, batch = next(placed)
                    self.recent.append((step, host_batch.names))
                    state, metrics = self.compiled[host_batch.bucket](state, batch)
                    self.pending.append((step, metrics))
                    self.checkpoints.check()
                    done = step + 1
                    last = done == steps
                    if last or step == first or due(done, log["every_steps"]):
                        self.log(done)
                    stopping = stop.agreed(done)
                    rated = best and self.evaluates(done)
                    # Before anything that reads other files, and may fail over them.
                    if last or stopping or rated or self.saves(done):
                        self.save(done, state)
                    if stopping and not last:
                        self.checkpoints.close()
                        raise Preempted(done)
                    if self.evaluates(done):
                        self.evaluate(done, state, stop)
                    if self.predict and (last or due(done, log["pictures_every_steps"])):
                        self.draw(done, state, host_batch.bucket, batch)
                self.checkpoints.close()
                for line in self.conversions.lines("records"):
                    self.reporter.say(line)
        except Exception as error:
            self.save_what_is_left(state, error)
            raise
        return self.results

    def save_what_is_left(self, state: TrainState, error: Exception) -> None:
        """Save the last step before an error, in a run of one process (several cannot agree on it),
        where it is not the disk that failed."""
        if jax.process_count() > 1 or isinstance(error, SaveError) or state.step.is_deleted():
            return
        with contextlib.suppress(Exception):
            self.checkpoints.close()
            reached = int(state.step)
            if reached and reached not in self.checkpoints.steps():
                self.save(reached, state)
                self.checkpoints.close()
                self.reporter.say(f"saved before the error: step {reached}")

    def evaluates(self, done: int) -> bool:
        """Whether an evaluation belongs to this step."""
        last = done == self.prepared.steps
        asked = last or any(due(done, every) for every in self.evaluate_every)
        return bool(self.evaluator.evaluations) and asked

    def saves(self, done: int) -> bool:
        """Whether a checkpoint belongs to this step. The clock is asked in a run of one process:
        several would not agree."""
        passed = time.monotonic() - self.saved_at
        waited = 0 < self.save_seconds <= passed and jax.process_count() == 1
        return waited or due(done, self.save_every)

    def placed(
        self, host_batches: Iterator[HostBatch]
    ) -> Generator[tuple[HostBatch, dict], None, None]:
        """Batches on the devices, a few ahead of their step."""
        queue: deque[PlacedBatch] = deque()
        specs = self.prepared.task.batch_specs("train")
        for host_batch in host_batches:
            self.count_records(host_batch)
            size = next(iter(specs[host_batch.bucket].values())).shape[0]
            queue.append((host_batch, place(host_batch.arrays, self.prepared.mesh, size)))
            if len(queue) > PLACED_AHEAD:
                yield queue.popleft()
        yield from queue

    def count_records(self, host_batch: HostBatch) -> None:
        """Name what was converted and replaced, each once; stop when too many cannot be read."""
        for line in self.conversions.add(host_batch.converted):
            self.reporter.say(line)
        self.records_read += len(host_batch.names)
        self.records_replaced += len(host_batch.replaced)
        for name, reason in host_batch.replaced:
            if name not in self.unreadable:
                self.reporter.say(f"unreadable, replaced: {name}: {reason}")
            self.unreadable.add(name)
        self.count_supervision(host_batch)
        if not self.unreadable:
            return
        share, seen = self.config.data.max_unreadable, min(self.records_read, self.records)
        if len(self.unreadable) > share * max(seen, 100):
            name, reason = host_batch.replaced[-1]
            raise InputError(
                f"{len(self.unreadable)} of {seen} records cannot be read, more than "
                f"data.max_unreadable={share}; last {name}: {reason}; mend or remove them, "
                "or allow more with --config.data.max_unreadable"
            )

    def count_supervision(self, host_batch: HostBatch) -> None:
        """Stop where an epoch, or a whole run that is shorter, held nothing to learn from. (Of
        several processes, one may hold none: they do not ask.)"""
        if self.supervised == 0 and jax.process_count() == 1:
            self.supervised = self.prepared.task.supervised(host_batch.arrays)
            whole = self.prepared.steps * len(host_batch.names)
            if self.supervised == 0 and self.records_read >= min(self.records, whole):
                raise InputError(
                    f"none of the {self.records_read} records read has a target that counts "
                    f"(labels, classes, ranges; last {host_batch.names[0]}): nothing to learn from"
                )

    def log(self, done: int) -> None:
        """Read the metrics of the steps since the last log: the loop's one wait for the device."""
        fetched = [metrics.pairs() for metrics in jax.device_get([m for _, m in self.pending])]
        for (step, _), metrics in zip(self.pending, fetched, strict=True):
            if metrics["not_finite"][0] > 0:
                self.report_not_finite(step)
        self.pending.clear()
        values = {}
        for name in fetched[-1]:
            finite = [m[name] for m in fetched if np.isfinite(m[name][0])]
            weight = sum(weight for _, weight in finite)
            values[name] = sum(total for total, _ in finite) / weight if weight else float("nan")
        for name in self.prepared.optimizer.schedules:
            values[name] = fetched[-1][name][0]
        values["records_replaced"] = self.records_replaced
        memory = jax.local_devices()[0].memory_stats()
        if memory:  # CPUs keep none
            values["device_memory_peak"] = memory["peak_bytes_in_use"]
        self.reporter.metrics(done, values)

    def report_not_finite(self, step: int) -> None:
        self.not_finite += 1
        names = dict(self.recent).get(step, [])
        self.reporter.say(
            f"step {step + 1}: the loss or its gradient is not finite; the update was dropped; "
            f"records: {', '.join(names[:32])}{' ...' if len(names) > 32 else ''}"
        )
        if self.not_finite > self.config.train.max_not_finite:
            raise FloatingPointError(
                f"{self.not_finite} updates were not finite, more than train.max_not_finite"
            )

    def evaluate(self, done: int, state: TrainState, stop: StopSignal | None = None) -> None:
        """stop: asked between batches. The next start owes an evaluation that it ended."""
        variables = state.variables(averaged=self.config.evaluate.weights == "ema")
        asked = (lambda: False) if stop is None else (lambda: stop.asked)
        try:
            self.results, pictures = self.evaluator.run(
                variables, progress=self.reporter.say, asked_to_stop=asked
            )
        except Stopped:
            if done != self.saved:
                self.save(done, state)
            self.checkpoints.close()
            raise Preempted(done) from None
        self.reporter.metrics(done, self.results, prefix="evaluate/")
        self.checkpoints.add_results(done, self.results)
        self.show(done, pictures)

    def draw(self, done: int, state: TrainState, bucket: str, batch: Mapping) -> None:
        """Pictures of what the model makes of the step's batch."""
        variables = answering_variables(self.prepared.task, state.variables())
        with jax.set_mesh(self.prepared.mesh):
            answered = self.predict[bucket](variables, batch)
        prepared, outputs = jax.device_get(answered)
        if jax.process_index() == 0:
            self.show(done, self.prepared.task.render(prepared, outputs))

    def show(self, done: int, pictures: Mapping[str, np.ndarray]) -> None:
        for path in self.reporter.pictures(done, pictures, "pictures"):
            self.reporter.say(f"picture: {path}")

    def save(self, done: int, state: TrainState) -> None:
        info = {
            "config": as_json(self.config),
            "versions": versions(),
            "steps": self.prepared.steps,
            CLASSES: list(self.prepared.task.class_names),
        }
        self.checkpoints.save(done, state, info)
        self.saved, self.saved_at = done, time.monotonic()

    def profile(self, step: int) -> None:
        """A trace of the steps that `config.profile` names, for TensorBoard and Perfetto."""
        chosen = self.config.profile
        if not chosen.steps:
            return
        if step == chosen.start_step:
            jax.profiler.start_trace(str(self.workdir / "profile"))
        elif step == chosen.start_step + chosen.steps:
            jax.block_until_ready(self.pending[-1][1] if self.pending else ())
            jax.profiler.stop_trace()
            self.reporter.say(f"profile: {self.workdir / 'profile'}")


def due(done: int, every: int) -> bool:
    return every > 0 and done % every == 0


def compile_predict(run: Run) -> dict[str, Any]:
    """The task's answer to a training batch, prepared as for evaluation, by bucket."""
    task = run.task

    def answer(variables, batch):
        prepare_rng, rng = jax.random.split(jax.random.key(run.config.seed))
        prepared = task.prepare(batch, prepare_rng, False)
        return prepared, task.predict(variables, prepared, rng)

    jitted = jax.jit(answer, out_shardings=replicated(run.mesh))
    variables = answering_variables(task, run.target.variables())
    options, specs = compiler_options(run.config), task.batch_specs("train")
    return compile_by_bucket(jitted, variables, specs, run.mesh, options=options)
