"""CycleACR as the engine sees it."""

import dataclasses
from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray
from ml_collections import ConfigDict

from jaxvision.data import video_list
from jaxvision.data.actions.film_figures import ACTIONS, ASKED
from jaxvision.data.source import Source
from jaxvision.errors import InputError, check_choice
from jaxvision.methods.cycleacr import evaluation, films, inputs, objective, prediction, variants
from jaxvision.methods.cycleacr.groups import LayerGroups, SgdGroups
from jaxvision.methods.cycleacr.instances import InstanceConfig
from jaxvision.methods.cycleacr.memory import (
    Memory,
    Moment,
    empty_memory,
    entries_to_write,
    read_window,
    row_numbers,
)
from jaxvision.methods.cycleacr.model import Detector, PlainMap, SlowFastMaps
from jaxvision.methods.cycleacr.pretrained import DEVIATION, MEAN
from jaxvision.tasks import dispatch, people_in_films
from jaxvision.tasks.action_names import ActionsOfPeople
from jaxvision.tasks.boxed_people import FilmMoment
from jaxvision.training.task import Aux, Batch, BatchSpecs, Evaluation, Group, Task, Variables
from jaxvision.viz.people import SeenPerson, best_actions, draw_people

LOSSES, CROPPED = ("focal", "entropy"), ("keep", "drop")


class ActionTask(ActionsOfPeople):
    """What people of key frames do, by boxes of them. Batches: see `inputs.ClipTransform`."""

    data_names = films.DATA_NAMES
    input_suffixes = video_list.SUFFIXES
    beside_endings = ("_people.json",)

    def drawn_actions(self) -> tuple[str, ...]:
        return ACTIONS

    def counted_labels(self) -> list[int]:
        if self.config.data.name == "figures":
            return [ACTIONS.index(name) + 1 for name in ASKED]
        return super().counted_labels()

    @cached_property
    def model(self) -> Detector:
        config = self.config
        check_choice("task.loss", config.task.loss, LOSSES)
        check_choice("task.cropped", config.task.cropped, CROPPED)
        if config.model.backbone == "vit":
            self._check_patch()
        classes = self.classes
        if config.task.loss == "focal" and sum(self.groups) != classes:
            raise InputError(
                f"task.groups={self.groups}: {sum(self.groups)} classes; the data have {classes}"
            )
        return variants.build(config.model, classes, config.dtype, config.train.norm_groups)

    def _check_patch(self) -> None:
        """InputError where patches do not divide the sides of clips."""
        patch, crop = self.config.model.patch, self.config.task.crop
        for side, what in ((inputs.MULTIPLE, "which clips are padded to"), (crop, "task.crop")):
            if side % patch:
                raise InputError(f"model.patch={patch}: does not divide {side}, {what}")

    @property
    def instances(self) -> InstanceConfig:
        return self.model.config.instances

    @property
    def groups(self) -> tuple[int, ...]:
        """Classes of poses, objects and persons."""
        return tuple(self.config.task.groups)

    @property
    def two(self) -> bool:
        return isinstance(self.model.backbone, SlowFastMaps)

    def init(self, rng: PRNGKeyArray) -> Variables:
        config, model = self.config, self.model
        side = 64 if config.model.backbone == "slowfast" else config.model.image_size
        clip = jnp.zeros((1, config.model.frames, side, side, 3))
        clips = (clip[:, :: inputs.RATIO], clip) if self.two else (clip,)
        boxes, exists = jnp.full((1, 1, 4), 8.0), jnp.ones((1, 1), bool)
        width, seen = model.config.block.width, self.instances
        window = jnp.zeros((1, seen.moments, seen.slots, width))
        variables = dict(model.init(rng, clips, boxes, exists, window))
        variables.pop("intermediates", None)
        # What answers with trained weights reads no memory, and needs no films of its training.
        if model.config.cycle and not self.trained_names:
            empty = empty_memory(films.memory_rows(self.moments), config.model.memory_slots, width)
            axes = (("rows", None, None), ("rows",), ("rows",))
            leaves = {
                name: nn.LogicallyPartitioned(each, names)
                for (name, each), names in zip(empty._asdict().items(), axes, strict=True)
            }
            code = jnp.array(films.memory_code(self.moments), jnp.int32)
            variables["memory"] = {"bank": {**leaves, "current": jnp.zeros(()), "moments": code}}
        return variables

    def resumed(self, collections: Variables) -> Mapping[str, np.ndarray]:
        """The last loss is forgotten where `task.forget_loss` asks for it. InputError where the
        memory's rows are of other films or seconds than the training's."""
        if not self.model.config.cycle:
            return {}
        bank = collections["memory"]["bank"]
        if int(bank["moments"]) != films.memory_code(self.moments):
            raise InputError(
                f"data.{films.training_file(self.config)}: the checkpoint's memory is of other "
                "films or seconds; expected those that its run was begun with"
            )
        current = "memory/bank/current"
        return {current: np.zeros((), np.float32)} if self.config.task.forget_loss else {}

    @cached_property
    def buckets(self) -> dict[inputs.Bucket, list[int]]:
        """Of training; of films of usual shapes where the data are not here, as for a plan."""
        config = self.config
        here = films.is_here(config)
        sizes = self.read_films(lambda: tuple(self.records.sizes())) if here else None
        least = 1 if sizes is None else config.train.batch_size
        return inputs.buckets_of(sizes or inputs.USUAL_SIZES, config, config.task.crop, least)

    @cached_property
    def records(self) -> films.Records:
        return films.records_of(self.config, "train", self.class_names)

    @cached_property
    def moments(self) -> list[Moment] | None:
        """(film, second) of every key frame of training; None where the data are elsewhere."""
        return list(self.records.moments()) if films.is_here(self.config) else None

    def transform(
        self, buckets: Any, training: bool, rows: Mapping[Any, int]
    ) -> inputs.ClipTransform:
        config, task = self.config, self.config.task
        return inputs.ClipTransform(
            frames=config.model.frames,
            stride=task.stride,
            two=self.two,
            sides=(task.short_side, task.long_side),
            people=config.data.people if training else config.data.test_people,
            classes=self.classes,
            training=training,
            extend=tuple(task.extend),
            crop=task.crop,
            flip=task.flip,
            jitter=task.jitter,
            colours=task.colours,
            cropped=task.cropped,
            buckets={bucket.name: bucket for bucket in buckets},
            rows=rows,
            window=self.instances,
        )

    def source(self, split: str) -> Mapping[str, Source]:
        rows = row_numbers(self.moments or ())
        transform, size = self.transform(self.buckets, True, rows), self.config.train.batch_size
        return {
            name: Source(records, size, transform)
            for name, records in inputs.records_by_bucket(self.records, self.buckets).items()
        }

    def batch_specs(self, split: str) -> BatchSpecs:
        transform, size = self.transform(self.buckets, True, {}), self.config.train.batch_size
        return {bucket.name: transform.specs(bucket, size) for bucket in self.buckets}

    def bucket(self, step: int) -> str:
        """A bucket at random, as often as it has clips."""
        counts = np.array([len(rows) for rows in self.buckets.values()])
        drawn = np.random.default_rng((self.config.seed, 11, step)).integers(counts.sum())
        return list(self.buckets)[int(np.searchsorted(np.cumsum(counts), drawn, "right"))].name

    def supervised(self, arrays: Mapping[str, np.ndarray]) -> int:
        return int(np.sum(arrays["exists"]))

    def prepare(self, batch: Batch, rng: PRNGKeyArray, train: bool) -> Batch:
        """Adds `clips`: normalised pixels, 0 in the padding."""
        names = ("slow", "fast") if self.two else ("fast",)
        return {**batch, "clips": tuple(self._normalised(batch[n], batch["size"]) for n in names)}

    def _normalised(self, video: Array, size: Array) -> Array:
        height, width = video.shape[2:4]
        values = (video.astype(jnp.float32) - jnp.array(MEAN)) / DEVIATION
        rows = jnp.arange(height) < size[:, 1, None]
        columns = jnp.arange(width) < size[:, 0, None]
        inside = rows[:, :, None] & columns[:, None, :]
        return jnp.where(inside[:, None, ..., None], values, 0)

    def loss(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, train: bool
    ) -> tuple[Float[Array, ""], Aux]:
        """The published loss of either code base; people's features go to the memory, tagged with
        it (published: the mean over processes; all but the first took their own clips')."""
        task, cycle = self.config.task, self.model.config.cycle
        drop_rng, people_rng, memory_rng = jax.random.split(rng, 3)
        exists = batch["exists"]
        # 1. What the film's other seconds hold, as it was before this step.
        bank = variables["memory"]["bank"] if cycle else {}
        window = jnp.zeros((len(exists), 1, 1, 0))
        if cycle:
            window = self._window(bank, batch["window"], memory_rng if train else None)
        # 2. Logits.
        (logits, found), state = self.model.apply(
            {name: tree for name, tree in variables.items() if name != "memory"},
            batch["clips"],
            batch["boxes"],
            exists,
            window,
            train=train,
            draws=jax.random.uniform(people_rng, exists.shape) if train else None,
            rngs={"dropout": drop_rng},
            mutable=["batch_stats"],
        )
        # 3. The loss, and what is logged.
        labels = batch["actions"].astype(jnp.float32)
        people = jnp.sum(exists).astype(jnp.float32)
        metrics: dict[str, tuple[Array, Array]] = {}
        if task.loss == "focal":
            weights = objective.FocalWeights(
                pose=task.pose_weight, object=task.object_weight, person=task.person_weight
            )
            total, parts = objective.focal_loss(logits, labels, exists, weights, self.groups)
            metrics |= {f"{name}_loss": (part * people, people) for name, part in parts.items()}
            right = objective.accuracies(logits, labels, exists, self.groups)
            metrics |= {f"{name}_accuracy": pair for name, pair in right.items()}
        else:
            groups = self.config.train.loss_groups
            total = objective.summed_entropy(logits, labels, exists, groups)
        clips = jnp.float32(len(exists))
        for name, label in (("beyond", "people_left_out"), ("emptied", "people_cropped_away")):
            metrics[label] = (jnp.sum(batch[name]).astype(jnp.float32), clips)
        if not cycle:
            return total, Aux(metrics, state)
        # 4. What is remembered.
        tag = jax.lax.stop_gradient(total).astype(jnp.float32)
        actors = jax.lax.stop_gradient(found.actor).astype(jnp.float32)
        slots = bank["features"].shape[1]
        entries = entries_to_write(actors, exists, slots, tag)
        writes = {f"bank/{n}": (batch["row"], each) for n, each in entries._asdict().items()}
        return total, Aux(metrics, {**state, "memory": {"bank": {"current": tag}}}, writes)

    def _window(self, bank: Mapping[str, Array], rows: Array, rng: PRNGKeyArray | None) -> Array:
        if not self.config.task.remember:
            rows = jnp.full_like(rows, -1)
        memory = Memory(*(bank[name] for name in Memory._fields))
        draws = None
        if rng is not None:
            draws = jax.random.uniform(rng, (*rows.shape, memory.features.shape[1]))
        current = bank["current"] if self.config.task.fading and rng is not None else None
        return read_window(memory, rows, self.instances.slots, current, draws)

    def parameter_group(self, path: str, shape: tuple[int, ...]) -> Group:
        task, backbone = self.config.task, self.model.backbone
        if isinstance(backbone, PlainMap):
            return LayerGroups(backbone.depth, task.layer_decay, task.other_rate).of(path)
        rules = SgdGroups(task.bias_rate, task.module_rate, self.config.model.frozen_norm)
        return rules.of(path, self.two)

    def first_stage(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray
    ) -> dict[str, Array]:
        """What the second stage needs of each clip."""
        found = self.model.apply(variables, batch["clips"], batch["boxes"], method="features")
        kept = {name: batch[name] for name in ("exists", "shares", "scores", "beyond")}
        return {"roi": found.roi, "actor": found.actor.astype(jnp.float32), **kept}

    @property
    def second_stage(self) -> evaluation.SecondStage:
        task = self.config.task
        poses = self.groups[0] if task.loss == "focal" else 0
        draw = self.config.seed if task.random_slots else None
        return evaluation.SecondStage(self.model, poses, task.remember, task.evaluation_batch, draw)

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
        """`scores` of every action of every person, `shares` and `exists`: of a clip alone, without
        the other seconds of its film."""
        found = self.model.apply(variables, batch["clips"], batch["boxes"], method="features")
        seen, width = self.instances, self.model.config.block.width
        window = jnp.zeros((batch["exists"].shape[0], seen.moments, seen.slots, width))
        logits = self.model.apply(variables, found, batch["exists"], window, method="classify")
        scores = objective.probabilities(logits, self.second_stage.poses)
        scores = scores * batch["scores"][..., None]
        return {"scores": scores, "shares": batch["shares"], "exists": batch["exists"]}

    def evaluations(self) -> Mapping[str, Evaluation]:
        """`key_frames`: frame mAP of the validation's seconds."""
        config, task = self.config, self.config.task
        if not films.has_validation(config):
            return {}
        records = films.records_of(config, "validation", self.class_names)
        buckets = inputs.buckets_of(records.sizes(), config, 0)
        transform, size = self.transform(buckets, False, {}), task.evaluation_batch
        by_bucket, moments = inputs.records_by_bucket(records, buckets), records.moments()
        return {
            "key_frames": evaluation.frame_map(
                self.first_stage,
                {name: Source(found, size, transform) for name, found in by_bucket.items()},
                {bucket.name: transform.specs(bucket, size) for bucket in buckets},
                moments={
                    bucket.name: [moments[row] for row in rows] for bucket, rows in buckets.items()
                },
                stage=self.second_stage,
                truth=evaluation.truth_of(config, self.class_names),
                labels=self.counted_labels(),
                names=self.class_names,
                more=evaluation.tube_results(config),
            )
        }

    def predict_files(self, variables: Variables, paths: list[Path], outdir: Path) -> list[Path]:
        """Actions of people in films: see `people_in_films.predict_files` and `prediction`. Where
        people are stands beside each film in `FILM_people.json`, as STMixer's `predict` writes it
        with the same `task.every_seconds`: `image_id` is the number of the key frame, from 0."""
        config, task = self.config, self.config.task
        answer = jax.jit(
            lambda variables, batch: self.first_stage(
                variables, self.prepare(batch, jax.random.key(0), False), jax.random.key(0)
            )
        )
        remembering = jax.jit(partial(prediction.classified_with_shares, self.model))

        def first(moment: FilmMoment) -> dict[str, np.ndarray]:
            (bucket,) = inputs.buckets_of([moment.size], config, 0)
            sample = self.transform([bucket], False, {})(
                moment, np.random.default_rng(0), bucket.name
            )
            batch = {name: np.asarray(array)[None] for name, array in sample.items()}
            found = jax.device_get(answer(variables, batch))
            return {name: each[0] for name, each in found.items()}

        def second(
            table: Mapping[str, np.ndarray], windows: np.ndarray
        ) -> tuple[np.ndarray, np.ndarray | None]:
            logits, shares = jax.device_get(remembering(variables, table, windows))
            scores = np.asarray(objective.probabilities(logits, self.second_stage.poses))
            return scores * table["scores"][..., None], shares

        film = prediction.RememberedFilm(
            first,
            second,
            # Its key frames are as far apart as `task.every_seconds` says.
            dataclasses.replace(self.instances, step=1),
            threshold=task.box_threshold,
            classes=self.classes,
        )
        moments = people_in_films.Moments(films.span_of(config), 1, task.every_seconds)
        return people_in_films.predict_files(
            film.detector,
            moments,
            paths,
            outdir,
            names=self.class_names,
            shown=task.shown,
            finish=film.finish,
        )

    def render(self, batch: Batch, outputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The middle frame of the first clip, its people and what they do."""
        width, height = np.asarray(batch["size"][0], int)
        video = np.asarray(batch["fast"][0])
        frame = np.ascontiguousarray(video[len(video) // 2, :height, :width])
        exists = np.asarray(outputs["exists"][0])
        boxes = np.asarray(outputs["shares"][0])[exists] * (width, height, width, height)
        scores = np.asarray(outputs["scores"][0])[exists]
        seen = [
            SeenPerson(box, best_actions(score, self.class_names, self.config.task.shown))
            for box, score in zip(boxes, scores, strict=True)
        ]
        return {"people": draw_people(frame, seen)}


TASKS: dict[str, type[Task]] = {"actions": ActionTask}


def make_task(config: ConfigDict) -> Task:
    """The task of a CycleACR recipe."""
    return dispatch.make(TASKS, config)
