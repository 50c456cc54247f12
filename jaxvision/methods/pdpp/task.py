"""PDPP as the engine sees it: the planner (with a task classifier), and the classifier alone."""

import logging
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from ml_collections import ConfigDict

from jaxvision.data.source import Source
from jaxvision.errors import InputError, check_choice, nearest
from jaxvision.methods.pdpp import evaluation, flops, inputs, timeline
from jaxvision.methods.pdpp.blocks import GROUPS
from jaxvision.methods.pdpp.classifier import TaskClassifier
from jaxvision.methods.pdpp.model import TemporalUNet
from jaxvision.methods.pdpp.planner import BASELINES, Sampler, plan_loss, sample_actions
from jaxvision.methods.pdpp.state import StateLayout, one_hot, weighted_squares
from jaxvision.tasks import dispatch
from jaxvision.training.draws import sample_keys
from jaxvision.training.task import Aux, Batch, BatchSpecs, Evaluation, Group, Task, Variables

# Where the class comes from at test time: trained beside the planner, loaded, or the truth.
CLASSIFIERS = ("joint", "frozen", "none")


class WindowTask(Task):
    """What both tasks share: windows of procedures, and a classifier of their tasks."""

    input_suffixes = (".npy", ".npz")

    def names_in_data(self) -> tuple[str, ...]:
        return inputs.labels_of(self.config).in_one_list()

    def names_from(self) -> str:
        return inputs.names_from(self.config)

    @property
    def trained_labels(self) -> inputs.Labels | None:
        """Names of tasks and actions as they came with weights."""
        return inputs.Labels.of_list(self.trained_names) if self.trained_names else None

    @cached_property
    def layout(self) -> StateLayout:
        return inputs.layout_of(self.config, self.trained_labels)

    @cached_property
    def classifier(self) -> TaskClassifier:
        layout = self.layout
        return TaskClassifier(layout.classes, layout.observation, jnp.dtype(self.config.dtype))

    def source(self, split: str) -> Source:
        return Source(inputs.windows_of(self.config, split)[0], self.config.train.batch_size)

    def batch_specs(self, split: str) -> BatchSpecs:
        return self._specs(self.config.train.batch_size)

    def _specs(self, size: int) -> BatchSpecs:
        return inputs.window_specs(self.layout, self.config.data.horizon, size)

    def _classifier_params(self, rng: PRNGKeyArray) -> Variables:
        return self.classifier.init(rng, jnp.zeros((1, 2, self.layout.observation)))["params"]

    def _logits(self, params: Variables, batch: Batch) -> Float[Array, "b k"]:
        observations = jnp.stack([batch["start"], batch["goal"]], axis=1)
        return self.classifier.apply({"params": params}, observations)

    def _cross_entropy(
        self, params: Variables, batch: Batch
    ) -> tuple[Float[Array, ""], Mapping[str, tuple[Array, Array]]]:
        """Mean cross entropy of the task, and what is reported about it."""
        logits, count = self._logits(params, batch), jnp.float32(batch["task"].shape[0])
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), batch["task"][:, None], axis=1)
        total = -jnp.sum(chosen)
        right = jnp.sum(jnp.argmax(logits, axis=-1) == batch["task"]).astype(jnp.float32)
        metrics = {"task_loss": (total, count), "task_accuracy": (100 * right, count)}
        return total / count, metrics


class ClassifierTask(WindowTask):
    """Trains the task classifier alone, as published: its weights go below `classifier`."""

    def init(self, rng: PRNGKeyArray) -> Variables:
        return {"params": {"classifier": self._classifier_params(rng)}}

    def loss(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, train: bool
    ) -> tuple[Float[Array, ""], Aux]:
        value, metrics = self._cross_entropy(variables["params"]["classifier"], batch)
        return value, Aux(metrics)

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
        """The task of each window: `task`, and the `probabilities` of all."""
        logits = self._logits(variables["params"]["classifier"], batch)
        return {"task": jnp.argmax(logits, axis=-1), "probabilities": jax.nn.softmax(logits)}

    def evaluations(self) -> Mapping[str, Evaluation]:
        def outputs(variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
            task = self.predict(variables, batch, rng)["task"]
            return {"task": task, "true_task": batch["task"]}

        size = self.config.task.evaluation_batch
        test, _ = inputs.windows_of(self.config, "test")
        evaluate = evaluation.classifier_evaluation
        return {"tasks": evaluate(test, outputs, self._specs(size), size)}


class PlannerTask(WindowTask):
    """Trains the planner; at test time its class comes from a classifier.

    Batches hold windows (see `inputs.window_specs`). Parameters: `planner`, and `classifier` unless
    task.classifier is "none". The loss is a sum over the batch, as published, so a run on several
    devices sees the gradient of the whole batch; the papers' processes each saw their own 32.
    """

    @cached_property
    def model(self) -> TemporalUNet:
        model = self.config.model
        return TemporalUNet(
            self.layout,
            model.width,
            tuple(model.multipliers),
            self.config.task.baseline == "",
            jnp.dtype(self.config.dtype),
        )

    @cached_property
    def sampler(self) -> Sampler:
        task = self.config.task
        if task.baseline and task.baseline not in BASELINES:
            raise InputError(f"task.baseline {task.baseline!r}{nearest(task.baseline, BASELINES)}")
        name = task.baseline or task.sampler
        return Sampler(name, task.diffusion_steps, task.sampling_steps, task.eta)

    @cached_property
    def has_classifier(self) -> bool:
        choice = self.config.task.classifier
        check_choice("task.classifier", choice, CLASSIFIERS)
        return choice != "none"

    def init(self, rng: PRNGKeyArray) -> Variables:
        planner_rng, classifier_rng = jax.random.split(rng)
        state = jnp.zeros((1, self.config.data.horizon, self.layout.width))
        t = jnp.zeros((1,), jnp.int32) if self.model.time_embedding else None
        params = {"planner": self.model.init(planner_rng, state, t)["params"]}
        if self.has_classifier:
            params["classifier"] = self._classifier_params(classifier_rng)
        return {"params": params}

    def parameter_group(self, path: str, shape: tuple[int, ...]) -> Group:
        if not path.startswith("classifier/"):
            return Group()
        task = self.config.task
        return Group(train=task.classifier == "joint", lr=task.classifier_rate)

    def loss(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, train: bool
    ) -> tuple[Float[Array, ""], Aux]:
        """The published sum; a joint classifier adds its own loss, and shares no parameter."""
        t_rng, noise_rng = jax.random.split(rng)
        plan = batch["plan"]
        t = jax.random.randint(t_rng, plan.shape[:1], 0, self.sampler.diffusion_steps)
        noise = jax.random.normal(noise_rng, (*plan.shape, self.layout.actions))
        errors, predicted = plan_loss(
            self.model,
            {"params": variables["params"]["planner"]},
            self.sampler,
            plan=plan,
            task=one_hot(batch["task"], self.layout.classes),
            start=batch["start"],
            goal=batch["goal"],
            t=t,
            noise=noise,
        )
        total, right = jnp.sum(errors), jnp.argmax(predicted, axis=-1) == plan
        metrics = {
            "plan_error": (total, jnp.float32(len(plan))),
            "step_accuracy": (100 * jnp.sum(right).astype(jnp.float32), jnp.float32(right.size)),
        }
        if self.config.task.classifier == "frozen" and not self.config.init:
            raise InputError(
                "task.classifier='frozen' keeps loaded weights: name their run in init, as "
                """init='({"from": "WORKDIR", "to": ""},)'"""
            )
        if self.config.task.classifier == "joint":
            value, more = self._cross_entropy(variables["params"]["classifier"], batch)
            return total + value, Aux({**metrics, **more})
        return total, Aux(metrics)

    def flops(self, split: str) -> float:
        forward = flops.training_pass(self.model, self.config.data.horizon)
        return 3 * self.config.train.batch_size * forward

    def sample(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, samples: int
    ) -> tuple[Float[Array, "b s t a"], Float[Array, "b k"] | None]:
        """Action scores of `samples` plans per window, and the classifier's logits.

        Draws come from each record's own key, so neither batch size nor mesh changes them. Many
        samples share the terms of their window's class and observations.
        """
        horizon, actions = self.config.data.horizon, self.layout.actions
        logits = None
        if self.has_classifier:
            logits = self._logits(variables["params"]["classifier"], batch)
            chosen = jnp.argmax(logits, axis=-1)
        else:
            chosen = batch["task"]
        planner = {"params": variables["params"]["planner"]}
        condition = self.model.apply(
            planner,
            one_hot(chosen, self.layout.classes),
            batch["start"],
            batch["goal"],
            horizon,
            method="condition_terms",
        )
        condition = jax.tree.map(lambda x: jnp.repeat(x, samples, axis=0), condition)
        keys = sample_keys(rng, batch)

        def draw(number: Array) -> Float[Array, "n t a"]:
            def one(key: PRNGKeyArray) -> Array:
                key = jax.random.fold_in(key, number)
                return jax.random.normal(key, (samples, horizon, actions))

            return jax.vmap(one)(keys).reshape(-1, horizon, actions)

        start = draw(jnp.int32(-1))
        scores, _ = sample_actions(self.model, planner, self.sampler, condition, start, draw=draw)
        return scores.reshape(-1, samples, horizon, actions), logits

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
        """Many plans per window: `samples` [b, s, t], `probabilities` [b, t, a] of each action at
        each step among them, `task` and `task_probabilities` [b, k] of the classifier."""
        count = self.config.task.prediction_samples
        scores, logits = self.sample(variables, batch, rng, count)
        samples = jnp.argmax(scores, axis=-1)
        classes = self.layout.classes
        known = one_hot(batch["task"], classes) if logits is None else jax.nn.softmax(logits)
        return {
            "samples": samples,
            "probabilities": jnp.mean(one_hot(samples, self.layout.actions), axis=1),
            "task": jnp.argmax(known, axis=-1),
            "task_probabilities": known,
        }

    def evaluations(self) -> Mapping[str, Evaluation]:
        task, actions = self.config.task, self.layout.actions
        test, _ = inputs.windows_of(self.config, "test")
        train = inputs.windows_of(self.config, "train")[0] if task.compare else None

        def one_plan(variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
            scores, logits = self.sample(variables, batch, rng, 1)
            target = one_hot(batch["plan"], actions)
            return {
                "actions": jnp.argmax(scores[:, 0], axis=-1),
                "error": weighted_squares(scores[:, 0], target),
                "task": batch["task"] if logits is None else jnp.argmax(logits, axis=-1),
                "true_task": batch["task"],
                "plan": batch["plan"],
            }

        size = task.evaluation_batch
        specs = self._specs(size)
        found = {
            "plans": evaluation.plan_evaluation(
                test, train, one_plan, specs, actions=actions, size=size, seed=self.config.seed
            )
        }
        if task.uncertainty_samples:
            count = 1 if self.sampler.name == "deterministic" else task.uncertainty_samples
            size = task.uncertainty_batch

            def many(variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
                scores, _ = self.sample(variables, batch, rng, count)
                samples = jnp.argmax(scores, axis=-1).astype(jnp.int16)
                return {"samples": samples, "plan": batch["plan"]}

            found["uncertainty"] = evaluation.uncertainty_evaluation(
                test, many, self._specs(size), actions=actions, size=size
            )
        return found

    def labels(self) -> inputs.Labels:
        """Names of tasks and actions: those of the weights, the data's where it is there, else
        numbers."""
        if self.trained_labels is not None:
            return self.trained_labels
        try:
            return inputs.labels_of(self.config)
        except InputError as error:
            logging.getLogger("jaxvision").warning(
                "%s: tasks and actions, whose names the weights do not hold, are numbered", error
            )
            layout = self.layout
            return inputs.Labels(
                [f"task {number}" for number in range(layout.classes)],
                [f"action {number}" for number in range(layout.actions)],
            )

    def render(self, batch: Batch, outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        first = {name: np.asarray(value[0]) for name, value in outputs.items()}
        truth = np.asarray(batch["plan"][0]) if "plan" in batch else None
        return {"plan": timeline.picture(timeline.answer(first, self.labels()), truth)}

    def predict_files(self, variables: Variables, paths: list[Path], outdir: Path) -> list[Path]:
        """A timeline picture and a JSON per feature file: see `timeline.predict_files`."""
        answer = jax.jit(self.predict)
        rng = jax.random.key(self.config.seed)

        def predict(batch: Batch) -> Mapping[str, np.ndarray]:
            return jax.device_get(answer(variables, batch, rng))

        return timeline.predict_files(self.config, predict, self.labels(), paths, outdir)


TASKS = {"planner": PlannerTask, "classifier": ClassifierTask}
RENAMED_KEYS = {"task.stage": "task.name"}


def make_task(config: ConfigDict) -> Task:
    """What a recipe trains: the planner (with a classifier beside it), or the classifier alone."""
    task = dispatch.make(TASKS, config, RENAMED_KEYS)
    check_widths(config.model)
    inputs.check_horizon(config, len(config.model.multipliers))
    return task


def check_widths(model: ConfigDict) -> None:
    """InputError for widths of the levels that norms, or the way back up, cannot have."""
    multipliers = tuple(model.multipliers)
    if multipliers[:1] != (1,):
        raise InputError(f"model.multipliers={multipliers}: expected 1 first, then those below it")
    if model.width % GROUPS:
        raise InputError(f"model.width={model.width}: expected a multiple of {GROUPS} (group norm)")
