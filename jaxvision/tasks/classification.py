"""What every classification with soft targets does on the device, and how it is judged.

A batch carries `label`, and in evaluations where one sample is one of several views of a video,
`number` (of the video) and `view`; elsewhere a record is its own only view.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from ml_collections import ConfigDict

from jaxvision.data.augment import random_erasing
from jaxvision.data.mixing import draw_mix, mix_batch
from jaxvision.data.source import Source
from jaxvision.errors import InputError
from jaxvision.metrics.multi_view import (
    MERGES,
    class_recalls,
    collect_views,
    confusion_of_views,
    multi_view_accuracy,
    probabilities_of_videos,
)
from jaxvision.ops.cross_entropy import smooth_one_hot, soft_cross_entropy
from jaxvision.tasks import answer_tables
from jaxvision.training.draws import sample_keys
from jaxvision.training.task import Aux, Batch, BatchSpecs, Evaluation, Variables
from jaxvision.viz.confusion_table import confusion_table


@dataclass(frozen=True, kw_only=True)
class Softening:
    """How training samples and their labels are softened.

    groups: each draws one mix (`train.draw_groups`).  label_smoothing: share of a label that goes
    to all classes.  The rest: `random_erasing.draw_boxes` and `mixing.draw_mix`.
    """

    groups: int
    label_smoothing: float
    erase_probability: float
    erase_area: tuple[float, float] = (0.02, 1 / 3)
    erase_aspect: tuple[float, float] = (0.3, 1 / 0.3)
    mixup_alpha: float
    cutmix_alpha: float
    mix_probability: float = 1.0
    mix_switch: float = 0.5

    @classmethod
    def of(cls, config: ConfigDict) -> "Softening":
        """From a recipe's `task` table."""
        names = [field.name for field in fields(cls) if field.name in config.task]
        return cls(groups=config.train.draw_groups, **{name: config.task[name] for name in names})

    @property
    def mixes(self) -> bool:
        return self.mixup_alpha > 0 or self.cutmix_alpha > 0


def rows(config: ConfigDict) -> int:
    """Samples a step: records times the crops of each. InputError for mixing in groups of odd size,
    since it pairs their samples."""
    task, train = config.task, config.train
    count = train.batch_size * task.get("crops_per_clip", 1)
    group = count // train.accumulate // train.draw_groups
    if Softening.of(config).mixes and group % 2:
        raise InputError(
            f"train.draw_groups={train.draw_groups} makes groups of {group} samples; mixing pairs "
            "them, so expected an even number"
        )
    return count


def soften(
    batch: Batch,
    pixels: Float[Array, "b *t h w c"],
    rng: PRNGKeyArray,
    softening: Softening,
    classes: int,
    *,
    erased: Float[np.ndarray, " c"] | None = None,
) -> Batch:
    """The batch with `input`: its normalised pixels, boxes erased and samples mixed; and `target`,
    the soft labels [b, classes].

    erased: the (normalised) colour of erased boxes; None: noise.
    """
    height, width = pixels.shape[-3:-1]
    erase_rng, mix_rng = jax.random.split(rng)
    if softening.erase_probability > 0:
        keys = jax.vmap(jax.random.split)(sample_keys(erase_rng, batch))
        boxes = random_erasing.draw_boxes(
            keys[:, 0],
            (height, width),
            probability=softening.erase_probability,
            area=softening.erase_area,
            aspect=softening.erase_aspect,
        )
        pixels = random_erasing.erase(pixels, boxes, keys[:, 1], erased)
    if not softening.mixes:
        target = smooth_one_hot(batch["label"], classes, softening.label_smoothing)
        return {**batch, "input": pixels, "target": target}
    mix = draw_mix(
        mix_rng,
        softening.groups,
        (height, width),
        mixup_alpha=softening.mixup_alpha,
        cutmix_alpha=softening.cutmix_alpha,
        probability=softening.mix_probability,
        switch=softening.mix_switch,
    )
    pixels, target, _ = mix_batch(
        pixels, batch["label"], mix, classes=classes, smoothing=softening.label_smoothing
    )
    return {**batch, "input": pixels, "target": target}


def loss(
    logits: Float[Array, "b classes"], target: Float[Array, "b classes"]
) -> tuple[Float[Array, ""], Aux]:
    """Mean soft-target cross entropy."""
    losses = soft_cross_entropy(logits, target)
    count = jnp.float32(len(losses))
    return jnp.mean(losses), Aux({"cross_entropy": (jnp.sum(losses), count)})


def evaluation(
    source: Source,
    batch_specs: BatchSpecs,
    logits: Callable[[Variables, Batch], Float[Array, "b classes"]],
    names: Sequence[str],
    *,
    merge: str = "prob",
    per_class: bool = False,
) -> Evaluation:
    """`top1` and `top5` over videos (or pictures), the views of each merged, and a picture of the
    confusions. InputError for an unknown merge.

    per_class: also `mean_class`, the mean of the classes' recalls, and `recall/<class>`.
    """
    if merge not in MERGES:
        raise InputError(f"task.merge {merge!r}: expected one of {', '.join(MERGES)}")

    # One video may be several records: its clips.
    videos = getattr(source.records, "videos", source.records)

    def outputs(variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
        number = batch.get("number", batch["index"])
        return {
            "logits": logits(variables, batch),
            "label": batch["label"],
            "video": number,
            "view": batch.get("view", jnp.zeros_like(number)),
        }

    def render(total: Mapping[int, tuple]) -> dict[str, np.ndarray]:
        return {"confusion": confusion_table(confusion_of_views(total, merge), names)}

    def tables(total: Mapping[int, tuple]) -> dict[str, list[answer_tables.Row]]:
        found, labels, numbers = probabilities_of_videos(total, merge)
        records = [videos.name(number) for number in numbers.tolist()]
        counts = confusion_of_views(total, merge)
        return {
            "answers": answer_tables.of_records(found, labels, names, records),
            "classes": answer_tables.of_classes(counts, names),
        }

    def worst(total: Mapping[int, tuple]) -> dict[str, np.ndarray]:
        found, labels, numbers = probabilities_of_videos(total, merge)
        known = np.flatnonzero(labels >= 0)
        order = known[np.argsort(found[known, labels[known]], kind="stable")]
        clips = len(source.records) // len(videos)
        texts = [f"{names[labels[n]]}: {names[int(np.argmax(found[n]))]}" for n in order]
        return answer_tables.worst_pictures(
            source, list(zip((numbers[order] * clips).tolist(), texts, strict=True))
        )

    def finish(total: Any, variables: Variables) -> dict[str, float]:
        if all(label < 0 for _, label in total.values()):
            raise InputError(f"none of {len(total)} records has a label: nothing to evaluate")
        results = multi_view_accuracy(total, merge)
        if per_class:
            recalls = class_recalls(confusion_of_views(total, merge))
            results["mean_class"] = float(np.mean(recalls))
            results |= {f"recall/{name}": r for name, r in zip(names, recalls, strict=True)}
        return results

    return Evaluation(
        source=source,
        batch_specs=batch_specs,
        outputs=outputs,
        accumulate=collect_views,
        finish=finish,
        render=render,
        tables=tables,
        worst=worst,
    )
