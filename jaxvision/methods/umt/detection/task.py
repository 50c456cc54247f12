"""The action detector as the engine sees it (single_modality/action_detection)."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from jaxvision.data import video_list
from jaxvision.data.actions import clip_frames, pixel_boxes
from jaxvision.data.actions.json_files import Image, read_detected
from jaxvision.data.actions.moving_figures import ACTIONS, MovingFigures
from jaxvision.data.actions.size_buckets import size_buckets
from jaxvision.data.source import RecordSubset, Source
from jaxvision.errors import InputError, check_choice
from jaxvision.methods.umt.detection import evaluation
from jaxvision.methods.umt.detection.model import ActionDetector
from jaxvision.methods.umt.detection.objective import action_loss
from jaxvision.nn.video_transformer import block_multiply_adds, block_of, grid_of
from jaxvision.stores.stored_path import path_to
from jaxvision.tasks import boxed_people, people_in_films
from jaxvision.tasks.action_names import ActionsOfPeople
from jaxvision.tasks.boxed_people import (
    Augmentation,
    BoxedClips,
    BoxedMoments,
    FilmMoment,
    MadeMoments,
)
from jaxvision.tasks.people_in_films import People
from jaxvision.training.layer_decay import layer_decay_group
from jaxvision.training.task import Aux, Batch, BatchSpecs, Evaluation, Group, Variables
from jaxvision.viz.people import SeenPerson, best_actions, draw_people

# Of red, green and blue, 0 to 255: other than in pretraining, as published.
MEAN = (122.7717, 115.9465, 102.9801)
DEVIATION = 57.375
DATA_NAMES = ("ava", "figures")
CROP = "crop"  # the bucket of training


class ActionDetectionTask(ActionsOfPeople):
    """What people do whose boxes are known. Batches: see `boxed_people.BoxedClips`."""

    data_names = DATA_NAMES
    input_suffixes = video_list.SUFFIXES
    beside_endings = ("_people.json",)

    def drawn_actions(self) -> tuple[str, ...]:
        return ACTIONS

    @cached_property
    def model(self) -> ActionDetector:
        model = self.config.model
        block = block_of(model, self.config.dtype, kernel_init="normal_0.02")
        return ActionDetector(
            grid_of(model), block, model["depth"], self.classes, model["init_scale"]
        )

    def init(self, rng: PRNGKeyArray) -> Variables:
        grid = self.model.grid
        clip = jnp.zeros((1, grid.frames, *grid.image_size, 3))
        return self.model.init(rng, clip, jnp.zeros((1, 1, 4)))

    def clips(self, sizes: Mapping[str, tuple[int, int]], training: bool) -> BoxedClips:
        config, task = self.config, self.config.task
        colour = (task.hue_shift, task.shade_shift)
        augmentation = Augmentation(crop=task.crop, flip=task.flip, colour=colour)
        return BoxedClips(
            frames=config.model.frames,
            stride=task.stride,
            short_side=task.short_side,
            people=config.data.people,
            classes=self.classes,
            sizes=sizes,
            augmentation=augmentation if training else None,
        )

    @property
    def training_clips(self) -> BoxedClips:
        crop = self.config.task.crop
        return self.clips({CROP: (crop, crop)}, True)

    def records(self, split: str) -> BoxedMoments | MadeMoments:
        """Key frames of "train", or of "validation" with the people that a detector found."""
        config, data, task = self.config, self.config.data, self.config.task
        check_choice("data.name", data.name, DATA_NAMES)
        if data.name == "figures":
            return MadeMoments(
                MovingFigures(
                    count=int(data[split]),
                    seed=config.seed + 7919 * (split == "validation"),
                    frames=config.model.frames,
                    height=data.height,
                    width=data.width,
                )
            )
        if not data[split]:
            raise InputError(f"data.{split}: expected AVA's annotations as JSON")
        root, file = path_to(data.root), path_to(data[split])
        if split == "train" or not data.detections:
            return boxed_people.annotated(file, root, self.classes)
        detections = path_to(data.detections)
        return boxed_people.detected(file, detections, root, self.classes, task.threshold)

    def source(self, split: str) -> Source:
        return Source(self.records("train"), self.config.train.batch_size, self.training_clips)

    def batch_specs(self, split: str) -> BatchSpecs:
        return {CROP: self.training_clips.specs(CROP, self.config.train.batch_size)}

    def supervised(self, arrays: Mapping[str, np.ndarray]) -> int:
        return int(np.sum(arrays["exists"]))

    def prepare(self, batch: Batch, rng: PRNGKeyArray, train: bool) -> Batch:
        """Adds `input`: normalised pixels, 0 in the padding."""
        video = (batch["video"].astype(jnp.float32) - jnp.array(MEAN)) / DEVIATION
        height, width = video.shape[2:4]
        rows = jnp.arange(height) < batch["size"][:, 1, None]
        columns = jnp.arange(width) < batch["size"][:, 0, None]
        inside = rows[:, :, None] & columns[:, None, :]
        return {**batch, "input": jnp.where(inside[:, None, ..., None], video, 0)}

    def loss(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, train: bool
    ) -> tuple[Float[Array, ""], Aux]:
        """The published loss: summed over a process's boxes, averaged over `train.loss_groups`
        processes."""
        logits = self.model.apply(
            variables,
            batch["input"],
            batch["boxes"],
            deterministic=not train,
            rngs={"dropout": rng},
        )
        actions = batch["actions"].astype(jnp.float32)
        total = action_loss(logits, actions, batch["exists"])
        people = jnp.sum(batch["exists"]).astype(jnp.float32)
        left_out = jnp.sum(batch["beyond"]).astype(jnp.float32)
        clips = jnp.float32(len(logits))
        metrics = {"action": (total, people), "people_left_out": (left_out, clips)}
        return total / self.config.train.loss_groups, Aux(metrics)

    def parameter_group(self, path: str, shape: tuple[int, ...]) -> Group:
        return layer_decay_group(path, self.model.depth, self.config.task.layer_decay)

    def flops(self, split: str) -> float:
        """Of the encoder: what is read of boxes is little beside it."""
        side, model = self.config.task.crop, self.model
        grid = dataclasses.replace(model.grid, image_size=(side, side))
        embedding = grid.tokens * grid.cube_values * model.block.width
        blocks = block_multiply_adds(model.block, model.depth, grid.tokens)
        return 3.0 * self.config.train.batch_size * 2 * (embedding + blocks)

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
        """`scores` of every action of every box: its probability times the person's score."""
        logits = self.model.apply(variables, batch["input"], batch["boxes"])
        return {"scores": jax.nn.sigmoid(logits) * batch["scores"][..., None]}

    def evaluations(self) -> Mapping[str, Evaluation]:
        """`key_frames`: AVA's frame mAP, of the boxes that a detector found."""
        config, task = self.config, self.config.task
        if not config.data.validation:
            return {}
        records = self.records("validation")
        buckets = size_buckets(
            boxed_people.frame_sizes(records, task.short_side),
            config.model.patch,
            task.most_buckets,
        )
        sizes = {f"{height}x{width}": (height, width) for height, width in buckets.sizes}
        clips, batch = self.clips(sizes, False), task.evaluation_batch
        numbers = {
            name: [row for row, at in enumerate(buckets.bucket) if at == number]
            for number, name in enumerate(sizes)
        }
        return {
            "key_frames": evaluation.frame_map(
                self.predict,
                {
                    name: Source(RecordSubset(records, rows), batch, clips)
                    for name, rows in numbers.items()
                },
                {name: clips.specs(name, batch) for name in sizes},
                numbers=numbers,
                records=records,
                labels=self.class_names,
                truth=evaluation.truth_of(config, records),
            )
        }

    def predict_files(self, variables: Variables, paths: list[Path], outdir: Path) -> list[Path]:
        """Actions of people in films. Where people are stands beside each film in
        `FILM_people.json`, as STMixer's `predict` writes it with the same `task.every_seconds`:
        `image_id` is the number of the key frame, from 0."""
        task = self.config.task

        @jax.jit
        def answer(variables: Variables, batch: Batch) -> Array:
            rng = jax.random.key(0)
            return self.predict(variables, self.prepare(batch, rng, False), rng)["scores"]

        def detector(path: Path, size: tuple[int, int], count: int) -> people_in_films.Detect:
            height, width = size
            images = {n: Image(path.name, n, width, height) for n in range(count)}
            file = path.with_name(f"{path.stem}_people.json")
            if not file.is_file():
                raise InputError(f"{file}: no such file; expected the people of {path.name}")
            people, _ = read_detected(file, images, task.threshold)

            def detect(frames: np.ndarray, number: int) -> People:
                if number not in people:
                    return People(np.zeros(0), np.zeros((0, self.classes)), np.zeros((0, 4)))
                moment = FilmMoment(frames, images[number], people[number])
                (padded,) = self._sizes([moment.size])
                clips = self.clips({"": padded}, False)
                sample = clips(moment, np.random.default_rng(0), "")
                batch = {name: np.asarray(array)[None] for name, array in sample.items()}
                kept = int(np.sum(sample["exists"]))
                scores = np.asarray(answer(variables, batch))[0, :kept]
                boxes = moment.people.boxes[:kept]
                shares = pixel_boxes.shares(boxes, (width, height))
                return People(moment.people.scores[:kept], scores, shares)

            return detect

        moments = people_in_films.Moments(self.config.model.frames, task.stride, task.every_seconds)
        return people_in_films.predict_files(
            detector, moments, paths, outdir, names=self.class_names, shown=task.shown
        )

    def _sizes(self, frames: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """The padded (height, width) of clips of frames of each (height, width)."""
        short, multiple = self.config.task.short_side, self.config.model.patch
        sizes = [clip_frames.bounded_size(height, width, short) for height, width in frames]
        return [clip_frames.padded_size(np.array([size]), multiple) for size in sizes]

    def render(self, batch: Batch, outputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The middle frame of the first clip with its boxes and their actions."""
        width, height = np.asarray(batch["size"][0], int)
        video, exists = np.asarray(batch["video"][0]), np.asarray(batch["exists"][0])
        frame = np.ascontiguousarray(video[len(video) // 2, :height, :width])
        boxes, scores = np.asarray(batch["boxes"][0]), np.asarray(outputs["scores"][0])
        seen = [
            SeenPerson(box, best_actions(row, self.class_names, self.config.task.shown))
            for box, row in zip(boxes[exists], scores[exists], strict=True)
        ]
        return {"people": draw_people(frame, seen)}
