"""Fine-tuning of VideoMAE for action classification as the engine sees it (section 4.2 and the
published scripts). Post-pretraining on Kinetics-710 is this task with 710 classes."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from ml_collections import ConfigDict

from jaxvision.data import video_list
from jaxvision.data.augment import random_erasing
from jaxvision.data.augment.rand_augment import RandAugment
from jaxvision.data.mixing import draw_mix, mix_batch
from jaxvision.data.source import Records, Source
from jaxvision.data.tfds import TfdsVideos
from jaxvision.errors import InputError, nearest
from jaxvision.methods.videomae import inputs, label_prediction, objective
from jaxvision.methods.videomae.classifier import VideoClassifier
from jaxvision.methods.videomae.clips import (
    MultiViewClips,
    NumberedVideos,
    Sampling,
    TrainingClips,
    ValidationClip,
)
from jaxvision.methods.videomae.model import CubeGrid
from jaxvision.methods.videomae.parameter_groups import classifier_group
from jaxvision.metrics.multi_view import MERGES, collect_views, multi_view_accuracy
from jaxvision.nn.transformer import BlockConfig
from jaxvision.ops.cross_entropy import smooth_one_hot, soft_cross_entropy
from jaxvision.training.draws import sample_keys
from jaxvision.training.task import Aux, Batch, BatchSpecs, Evaluation, Group, Task, Variables

DATA_NAMES = ("files", "tfds")
POOLINGS = ("mean", "first")


def classification_defaults() -> dict[str, Any]:
    """The settings every published fine-tuning script shares, as a recipe's `task` table."""
    return {
        "objective": "classification",
        "sampling": "dense",  # or "segments"
        "stride": 4,
        "repeats": 2,  # augmented crops of each decoded clip
        "flip": True,
        "rand_augment": "rand-m7-n4-mstd0.5-inc1",  # "" = none
        "erase_probability": 0.25,
        "mixup_alpha": 0.8,
        "cutmix_alpha": 1.0,
        "mix_probability": 1.0,
        "mix_switch": 0.5,
        "label_smoothing": 0.1,
        "layer_decay": 0.75,
        "segments": 5,  # of the test's views
        "crops": 3,
        "merge": "prob",  # or "score"
        "test": False,  # evaluate all views, too
        "features": "",  # what predict writes: "" = classes; "thumos14", "fineaction" = features
    }


def build_classifier(model: ConfigDict, classes: int, dtype: str) -> VideoClassifier:
    """The classifier a recipe's `model` table describes."""
    if model.pooling not in POOLINGS:
        raise InputError(f"model.pooling {model.pooling!r}: expected one of {', '.join(POOLINGS)}")
    block = BlockConfig(
        model.width,
        model.heads,
        mlp_ratio=model.mlp_ratio,
        qkv_bias=model.qkv_bias,
        layer_scale=model.layer_scale,
        cosine_attention=model.cosine_attention,
        dropout=model.dropout,
        attention_dropout=model.attention_dropout,
        drop_path=model.drop_path,
        kernel_init="normal_0.02",
        remat=model.remat,
        dtype=jnp.dtype(dtype),
    )
    return VideoClassifier(
        CubeGrid(model.frames, tuple(model.image_size), model.tubelet, model.patch),
        block,
        model.depth,
        classes,
        pooling=model.pooling,
        position_table=model.position_table,
        token_dropout=model.dropout,
        head_dropout=model.head_dropout,
        init_scale=model.init_scale,
    )


class ClassificationTask(Task):
    """Soft-target cross entropy on mixed clips. Batches hold `video`, uint8 [b, t, h, w, 3] RGB,
    and `label`, int32 [b]; evaluations also `number` (of the video) and `view`."""

    @cached_property
    def class_names(self) -> list[str]:
        """From the labels file, the folders of the training data, or the tfds dataset."""
        data = self.config.data
        if data.labels:
            return video_list.read_labels(data.labels)
        if data.name == "tfds":
            return self.tfds_videos("train").class_names
        if Path(data.train).is_dir():
            return video_list.read_class_folders(data.train)[1]
        raise InputError("data.labels: expected a file of class names, one a line")

    @cached_property
    def model(self) -> VideoClassifier:
        return build_classifier(self.config.model, len(self.class_names), self.config.dtype)

    @cached_property
    def sampling(self) -> Sampling:
        task = self.config.task
        return Sampling(task.sampling, self.config.model.frames, task.stride)

    def videos(self, split: str) -> Records:
        """The labelled videos of "train" or "validation": a list file, a folder of folders, or a
        tfds dataset."""
        data = self.config.data
        where, classes = data[split], len(self.class_names)
        if data.name not in DATA_NAMES:
            raise InputError(f"data.name {data.name!r}{nearest(data.name, DATA_NAMES)}")
        if data.name == "tfds":
            videos = self.tfds_videos(split)
            if len(videos.class_names) != classes:
                raise InputError(
                    f"data.labels: {classes} names for the {len(videos.class_names)} classes of "
                    f"data.{split}={where}"
                )
            return videos
        if not where:
            raise InputError(f"data.{split}: expected a list file or a folder of class folders")
        if Path(where).is_dir():
            items = video_list.read_class_folders(where, self.class_names)[0]
        else:
            items = video_list.read_list(
                where, classes, data.root, data.frame_template, data.first_frame
            )
        return video_list.VideoRecords(items)

    def tfds_videos(self, split: str) -> TfdsVideos:
        """`data.train` or `data.validation` as DATASET:SPLIT, prepared in `data.root`."""
        return TfdsVideos.of(self.config.data[split], self.config.data.root)

    def init(self, rng: PRNGKeyArray) -> Variables:
        grid = self.model.grid
        return self.model.init(rng, jnp.zeros((1, grid.frames, *grid.image_size, 3)))

    def source(self, split: str) -> Source:
        task = self.config.task
        policy = RandAugment.parse(task.rand_augment) if task.rand_augment else None
        clips = TrainingClips(
            self.sampling, self.model.grid.image_size, policy, task.flip, task.repeats
        )
        return Source(self.videos("train"), self.config.train.batch_size, clips)

    def batch_specs(self, split: str) -> BatchSpecs:
        rows = self.config.train.batch_size * self.config.task.repeats
        group = rows // self.config.train.accumulate // self.config.train.draw_groups
        if self._mixes and group % 2:
            raise InputError(
                f"train.draw_groups={self.config.train.draw_groups} makes groups of {group} clips; "
                "mixing pairs them, so expected an even number"
            )
        fields = self._fields(rows, self.model.grid.image_size)
        return {"clips": {name: fields[name] for name in ("video", "label")}}

    def _fields(self, rows: int, size: tuple[int, int]) -> dict[str, jax.ShapeDtypeStruct]:
        number = jax.ShapeDtypeStruct((rows,), jnp.int32)
        video = jax.ShapeDtypeStruct((rows, self.config.model.frames, *size, 3), jnp.uint8)
        return {"video": video, "label": number, "number": number, "view": number}

    @property
    def _mixes(self) -> bool:
        return self.config.task.mixup_alpha > 0 or self.config.task.cutmix_alpha > 0

    def prepare(self, batch: Batch, rng: PRNGKeyArray, train: bool) -> Batch:
        """Adds normalised pixels (`input`); in training also erases boxes, mixes clips, and adds
        the soft `target`."""
        video = inputs.normalise(batch["video"])
        if not train:
            return {**batch, "input": video}
        task, classes = self.config.task, self.model.classes
        height, width = video.shape[2:4]
        erase_rng, mix_rng = jax.random.split(rng)
        if task.erase_probability > 0:
            keys = jax.vmap(jax.random.split)(sample_keys(erase_rng, batch))
            boxes = random_erasing.draw_boxes(
                keys[:, 0], (height, width), probability=task.erase_probability
            )
            video = random_erasing.erase(video, boxes, keys[:, 1])
        if not self._mixes:
            target = smooth_one_hot(batch["label"], classes, task.label_smoothing)
            return {**batch, "input": video, "target": target}
        mix = draw_mix(
            mix_rng,
            self.config.train.draw_groups,
            (height, width),
            mixup_alpha=task.mixup_alpha,
            cutmix_alpha=task.cutmix_alpha,
            probability=task.mix_probability,
            switch=task.mix_switch,
        )
        video, target, _ = mix_batch(
            video, batch["label"], mix, classes=classes, smoothing=task.label_smoothing
        )
        return {**batch, "input": video, "target": target}

    def loss(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, train: bool
    ) -> tuple[Float[Array, ""], Aux]:
        logits = self.model.apply(
            variables, batch["input"], deterministic=not train, rngs={"dropout": rng}
        )
        loss = soft_cross_entropy(logits, batch["target"])
        count = jnp.float32(len(loss))
        return jnp.mean(loss), Aux({"cross_entropy": (jnp.sum(loss), count)})

    def parameter_group(self, path: str, shape: tuple[int, ...]) -> Group:
        return classifier_group(path, self.model.depth, self.config.task.layer_decay)

    def flops(self, split: str) -> float:
        rows = self.config.train.batch_size * self.config.task.repeats
        return 3.0 * rows * objective.classifier_flops(self.model)

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
        """`probabilities` of each clip."""
        logits = self.model.apply(variables, batch["input"])
        return {"probabilities": jax.nn.softmax(logits)}

    def evaluations(self) -> Mapping[str, Evaluation]:
        """`validation`: one clip of each video; with `task.test`, `test`: segments x crops."""
        if not self.config.data.validation:
            return {}
        task, size = self.config.task, self.config.train.batch_size
        videos, grid = self.videos("validation"), self.model.grid
        clip = ValidationClip(self.sampling, grid.image_size)
        found = {
            "validation": Evaluation(
                Source(NumberedVideos(videos), size, clip),
                {"clips": self._fields(size, grid.image_size)},
                self._scored,
                collect_views,
                lambda total, variables: multi_view_accuracy(total),
            )
        }
        if task.test:
            if task.merge not in MERGES:
                raise InputError(f"task.merge {task.merge!r}: expected one of {', '.join(MERGES)}")
            views = MultiViewClips(self.sampling, grid.image_size[0], task.segments, task.crops)
            found["test"] = Evaluation(
                Source(NumberedVideos(videos, task.segments), size, views),
                {"views": self._fields(size * task.crops, (grid.image_size[0],) * 2)},
                self._scored,
                collect_views,
                lambda total, variables: multi_view_accuracy(total, task.merge),
            )
        return found

    def _scored(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
        return {
            "logits": self.model.apply(variables, batch["input"]),
            "label": batch["label"],
            "video": batch["number"],
            "view": batch["view"],
        }

    def render(self, batch: Batch, outputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        return {"clips": label_prediction.picture(batch, outputs, self.class_names)}

    def predict_files(self, variables: Variables, paths: list[Path], outdir: Path) -> list[Path]:
        if self.config.task.features:
            return label_prediction.write_features(self, variables, paths, outdir)
        return label_prediction.predict_files(self, variables, paths, outdir)
