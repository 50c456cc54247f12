"""STMixer as the engine sees it."""

from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from ml_collections import ConfigDict

from jaxvision.data import video_list
from jaxvision.data.actions.ava_files import KeyFrames, read_excluded
from jaxvision.data.actions.moving_figures import ACTIONS, MOTIONS, FigureClip
from jaxvision.data.actions.pixel_boxes import shares
from jaxvision.data.source import Source
from jaxvision.errors import check_choice
from jaxvision.methods.stmixer import evaluation, inputs, objective, variants
from jaxvision.methods.stmixer.decoder import Answers
from jaxvision.methods.stmixer.detections import Choice, choose, detect
from jaxvision.methods.stmixer.model import Detector
from jaxvision.methods.stmixer.objective import Truth, Weights
from jaxvision.stores.stored_path import path_to
from jaxvision.tasks import dispatch, people_in_films
from jaxvision.tasks.action_names import ActionsOfPeople
from jaxvision.tasks.people_in_films import People
from jaxvision.tasks.tube_scores import tubes_of
from jaxvision.training.layer_decay import decays
from jaxvision.training.loss_groups import mean_over_groups
from jaxvision.training.task import Aux, Batch, BatchSpecs, Evaluation, Group, Task, Variables
from jaxvision.viz.people import SeenPerson, draw_people

MEAN, DEVIATION = 0.45, 0.225
BOXES = ("predicted", "frame")


class DetectionTask(ActionsOfPeople):
    """People of key frames and what they do. Batches: see `inputs.ClipTransform`."""

    data_names = inputs.DATA_NAMES
    input_suffixes = video_list.SUFFIXES

    def drawn_actions(self) -> tuple[str, ...]:
        return MOTIONS if self.config.data.motions else ACTIONS

    @cached_property
    def model(self) -> Detector:
        config = self.config
        return variants.build(config.model, self.classes, config.dtype, config.train.norm_groups)

    @property
    def choice(self) -> Choice:
        task = self.config.task
        return Choice(task.threshold, task.fallback, task.overlap)

    @property
    def weights(self) -> Weights:
        task = self.config.task
        return Weights(
            task.person_weight,
            task.action_weight,
            task.l1_weight,
            task.giou_weight,
            task.background_weight,
        )

    def init(self, rng: PRNGKeyArray) -> Variables:
        clip = jnp.zeros((1, self.config.model.frames, 64, 64, 3))
        return self.model.init(rng, clip, jnp.full((1, 4), 64.0))

    @cached_property
    def training_buckets(self) -> tuple[inputs.Records, dict[inputs.Bucket, inputs.BucketRows]]:
        config = self.config
        records = inputs.records_of(config, "train", self.class_names)
        buckets = inputs.buckets_of(
            inputs.frame_sizes(records),
            tuple(config.task.short_sides),
            config.task.most_buckets,
            config.train.batch_size,
        )
        return records, buckets

    @cached_property
    def buckets(self) -> dict[inputs.Bucket, inputs.BucketRows]:
        """Of training; of films of usual shapes where the data are not here, as for a plan."""
        here = inputs.is_here(self.config)
        if here and (found := self.read_films(lambda: self.training_buckets)):
            return found[1]
        task = self.config.task
        return inputs.buckets_of(inputs.USUAL_SIZES, tuple(task.short_sides), task.most_buckets)

    def transform(self, buckets: Any, training: bool) -> inputs.ClipTransform:
        config = self.config
        return inputs.ClipTransform(
            frames=config.model.frames,
            stride=config.task.stride,
            people=config.data.people,
            classes=self.classes,
            flip=config.task.flip and training,
            still=config.task.still,
            buckets={bucket.name: bucket for bucket in buckets},
        )

    def source(self, split: str) -> Mapping[str, Source]:
        records, buckets = self.training_buckets
        transform, size = self.transform(buckets, True), self.config.train.batch_size
        return {
            name: Source(rows, size, transform)
            for name, rows in inputs.records_by_bucket(records, buckets).items()
        }

    def batch_specs(self, split: str) -> BatchSpecs:
        transform, size = self.transform(self.buckets, True), self.config.train.batch_size
        return {bucket.name: transform.specs(bucket, size) for bucket in self.buckets}

    def bucket(self, step: int) -> str:
        """A bucket at random, as often as it has clips: every clip is as likely at each side."""
        counts = np.array([len(rows.numbers) for rows in self.buckets.values()])
        drawn = np.random.default_rng((self.config.seed, 11, step)).integers(counts.sum())
        return list(self.buckets)[int(np.searchsorted(np.cumsum(counts), drawn, "right"))].name

    def prepare(self, batch: Batch, rng: PRNGKeyArray, train: bool) -> Batch:
        """Adds `input`: normalised pixels, 0 in the padding."""
        video = batch["video"]
        video = (video.astype(jnp.float32) / 255 - MEAN) / DEVIATION
        height, width = video.shape[2:4]
        rows = jnp.arange(height) < batch["size"][:, 1, None]
        columns = jnp.arange(width) < batch["size"][:, 0, None]
        inside = rows[:, :, None] & columns[:, None, :]
        return {**batch, "input": jnp.where(inside[:, None, ..., None], video, 0)}

    def supervised(self, arrays: Mapping[str, np.ndarray]) -> int:
        """People whose box has some area within the frame."""
        return int(np.sum(arrays["exists"]))

    def loss(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, train: bool
    ) -> tuple[Float[Array, ""], Aux]:
        """The published loss, averaged over `train.loss_groups` (processes): cross entropies are
        means of a group, box losses are divided by the mean number of people of all groups."""
        found, state = self.model.apply(
            variables,
            batch["input"],
            batch["size"],
            train,
            rngs={"dropout": rng},
            mutable=["batch_stats"],
        )
        groups = self.config.train.loss_groups
        actions = batch["actions"].astype(jnp.float32)
        truth = Truth(batch["boxes"], actions, batch["exists"], batch["size"])
        people = jnp.maximum(jnp.sum(batch["exists"]) / groups, 1)

        def of_group(by_clip: Answers, truth: Truth) -> tuple[Array, objective.Losses]:
            answers = Answers(*(jnp.moveaxis(each, 0, 1) for each in by_clip))
            return objective.detection_loss(answers, truth, self.weights, people)

        by_clip = Answers(*(jnp.moveaxis(each, 1, 0) for each in found.answers))
        total, parts = mean_over_groups(of_group, groups, by_clip, truth)
        clips = jnp.float32(len(batch["size"]))
        metrics = {name: (clips * jnp.mean(part), clips) for name, part in parts._asdict().items()}
        for name, label in (("beyond", "people_left_out"), ("emptied", "boxes_emptied")):
            metrics[label] = (jnp.sum(batch[name]).astype(jnp.float32), clips)
        return total, Aux(metrics, state)

    def parameter_group(self, path: str, shape: tuple[int, ...]) -> Group:
        return parameter_group(path)

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
        """Every query's `person` and `action` probabilities, and `boxes` as shares of the frame."""
        found = self.model.apply(variables, batch["input"], batch["size"])
        return detect(Answers(*(each[-1] for each in found.answers)), batch["size"])._asdict()

    def evaluations(self) -> Mapping[str, Evaluation]:
        """`key_frames`: frame mAP of the validation's key frames."""
        config, task = self.config, self.config.task
        if not config.data.validation and config.data.name != "tubes":
            return {}
        check_choice("task.boxes", task.boxes, BOXES)
        records = inputs.records_of(config, "validation", self.class_names)
        sizes = inputs.frame_sizes(records)
        buckets = inputs.buckets_of(sizes, (task.test_short_side,), task.most_buckets)
        transform, size = self.transform(buckets, False), task.evaluation_batch
        return {
            "key_frames": evaluation.frame_map(
                self.predict,
                {
                    n: Source(r, size, transform)
                    for n, r in inputs.records_by_bucket(records, buckets).items()
                },
                {bucket.name: transform.specs(bucket, size) for bucket in buckets},
                numbers={bucket.name: rows.numbers for bucket, rows in buckets.items()},
                truth=partial(_truth, records),
                choice=self.choice,
                labels=self.counted_labels(),
                names=self.class_names,
                excluded=_excluded(config, records),
                whole_frames=task.boxes == "frame",
                more=self._tube_results(records),
            )
        }

    def _tube_results(self, records: Any) -> Any:
        """ACT's results where the data are tubes, else None."""
        data = self.config.data
        if data.name != "tubes":
            return None
        truth = tubes_of(self.config)
        return evaluation.tube_results(truth, truth.split(data.split, "test"), records.items)

    def render(self, batch: Batch, outputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The middle frame of the first clip: people found, and the truth in white."""
        width, height = np.asarray(batch["size"][0][:2], int)
        video = np.asarray(batch["video"][0])
        frame = np.ascontiguousarray(video[len(video) // 2, :height, :width])
        people = choose(
            People(*(np.asarray(outputs[name][0]) for name in People._fields)), self.choice
        )
        seen = people_in_films.seen_people(
            people, (height, width), self.class_names, self.config.task.shown
        )
        exists = np.asarray(batch["exists"][0])
        true = [SeenPerson(box, (), True) for box in np.asarray(batch["boxes"][0])[exists]]
        return {"people": draw_people(frame, [*true, *seen])}

    def predict_files(self, variables: Variables, paths: list[Path], outdir: Path) -> list[Path]:
        """People and actions of films: see `people_in_films.predict_files`."""
        task = self.config.task

        @jax.jit
        def answer(variables: Variables, batch: Batch) -> dict[str, Array]:
            rng = jax.random.key(0)
            return self.predict(variables, self.prepare(batch, rng, False), rng)

        def detect_in(frames: np.ndarray, number: int) -> People:
            nobody = np.zeros((0, 4), np.float32)
            clip, _ = inputs.resized_clip(frames, nobody, task.test_short_side)
            clip = inputs.stilled(clip) if task.still else clip
            height, width = clip.shape[1:3]
            up = (-height % inputs.MULTIPLE, -width % inputs.MULTIPLE)
            padded = np.pad(clip, ((0, 0), (0, up[0]), (0, up[1]), (0, 0)))
            size = np.array([[width, height] * 2], np.float32)
            found = jax.device_get(answer(variables, {"video": padded[None], "size": size}))
            return choose(People(*(found[name][0] for name in People._fields)), self.choice)

        moments = people_in_films.Moments(self.config.model.frames, task.stride, task.every_seconds)
        return people_in_films.predict_files(
            lambda path, size, count: detect_in,
            moments,
            paths,
            outdir,
            names=self.class_names,
            shown=task.shown,
        )


def parameter_group(path: str) -> Group:
    """The published exclusions from weight decay: a convolutional backbone's batch norms, a
    transformer's vectors; everything behind the backbone decays, biases and norms too."""
    if path.startswith("backbone/network/"):
        return Group(decay=0.0 if path.endswith(("norm/scale", "norm/bias")) else 1.0)
    if path.startswith("backbone/"):
        return Group(decay=1.0 if decays(path) else 0.0)
    return Group()


def _truth(records: Any, frame: int) -> evaluation.TruthOfFrame:
    record = records[frame]
    boxes = record.boxes
    if isinstance(record, FigureClip):
        boxes = shares(boxes, record.frames.shape[2:0:-1])
    return evaluation.TruthOfFrame(boxes.astype(np.float64), record.actions)


def _excluded(config: ConfigDict, records: Any) -> set[int]:
    """Numbers of the key frames that no evaluation counts."""
    if config.data.name != "ava" or not config.data.excluded:
        return set()
    seconds = KeyFrames()
    left_out = read_excluded(path_to(config.data.excluded), seconds)
    names = {name for name, number in seconds.numbers.items() if number in left_out}
    return {n for n, item in enumerate(records.items) if (item.video, item.second) in names}


TASKS: dict[str, type[Task]] = {"detection": DetectionTask}


def make_task(config: ConfigDict) -> Task:
    """The task of an STMixer recipe."""
    return dispatch.make(TASKS, config)
