"""Evaluation in two stages: features of every second, then what people do, with the memory of their
film (section 3.4).

The first stage reads the video, the second the first one's outputs alone, which stay on the
devices.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from ml_collections import ConfigDict

from jaxvision.data.actions import pixel_boxes
from jaxvision.data.actions.ava_files import (
    KeyFrames,
    counted_labels,
    read_excluded,
    read_truth,
    rows_of_people,
)
from jaxvision.data.source import Source
from jaxvision.methods.cycleacr import films
from jaxvision.methods.cycleacr.head import ActorFeatures
from jaxvision.methods.cycleacr.memory import NO_ROW, Memory, Moment, read_window, window_rows
from jaxvision.methods.cycleacr.model import Detector
from jaxvision.methods.cycleacr.objective import probabilities
from jaxvision.metrics.action_frames import (
    FrameBoxes,
    average_precisions,
)
from jaxvision.stores.stored_path import path_to
from jaxvision.tasks.frame_results import frame_results
from jaxvision.tasks.tube_scores import tube_scores, tubes_of
from jaxvision.training.task import BatchSpecs, Evaluation, KeptOutputs, Variables

DECIMALS = 5  # of the file that the published evaluation reads back


# Of every second: (it, boxes as shares of the frame, scores of every action).
Found = Sequence[tuple[Moment, np.ndarray, np.ndarray]]
MoreResults = Callable[[Found], Mapping[str, float]]


class Truth(NamedTuple):
    """rows: of the people that there are, by the number of their key frame.  number: of a second.
    excluded: key frames that no evaluation counts."""

    rows: FrameBoxes
    number: Callable[[Moment], int]
    excluded: Collection[int] = ()


class SecondStage(NamedTuple):
    """poses: classes of which a person has one (see `probabilities`).  remember: whether other
    seconds are read.  batch: clips at a time.  draw: seed of which people stay where there are more
    than slots for them, in a clip and in a second of the memory, as published; None: the first."""

    model: Detector
    poses: int
    remember: bool
    batch: int
    draw: int | None = None

    def run(
        self, variables: Variables, kept: Sequence[KeptOutputs], moments: Sequence[Sequence[Moment]]
    ) -> Found:
        """Of every sample.

        kept: outputs of the first stage, bucket by bucket: `roi`, `actor`, `exists`, `shares` and
        `scores`.  moments: of each one's samples, in order.
        """
        # 1. One table of all buckets; whose row is which second.
        rows: dict[Moment, int] = {}
        end = 0
        for outputs, of_bucket in zip(kept, moments, strict=True):
            rows |= {moment: end + i for i, moment in enumerate(of_bucket)}
            end += len(outputs.rows["exists"])
        table = _joined([outputs.rows for outputs in kept])
        # 2. Batch by batch; the last one repeats its first clip.
        config, found = self.model.config.instances, []
        listed = list(rows.items())
        for first in range(0, len(listed), self.batch):
            part = listed[first : first + self.batch]
            here = np.array([row for _, row in part], np.int32)
            windows = np.stack([window_rows(rows, *moment, config) for moment, _ in part])
            missing = ((0, self.batch - len(part)), (0, 0))
            here = np.pad(here, missing[0], mode="edge")
            windows = np.pad(windows if self.remember else np.full_like(windows, NO_ROW), missing)
            answer = jax.device_get(
                _classified(
                    self.model, self.poses, self.draw, variables, table, here=here, windows=windows
                )
            )
            for (moment, _), boxes, scores, exists in zip(part, *answer, strict=False):
                found.append((moment, boxes[exists], scores[exists]))
        return found


def _joined(tables: Sequence[Mapping[str, jax.Array]]) -> dict[str, jax.Array]:
    return {name: jnp.concatenate([table[name] for table in tables]) for name in tables[0]}


@partial(jax.jit, static_argnums=(0, 1, 2))
def _classified(
    model: Detector,
    poses: int,
    draw: int | None,
    variables: Variables,
    table: Mapping[str, jax.Array],
    *,
    here: jax.Array,
    windows: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Boxes, scores and which exist, of the rows `here` of a table of features."""
    people = jnp.sum(table["exists"], axis=-1)
    features = jnp.where(table["exists"][..., None], table["actor"], 0)
    memory = Memory(features, people, jnp.zeros(len(people)))
    clip_draws = window_draws = None
    if draw is not None:
        # Of a row of the table, whatever batch it is in.
        keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(draw)))(here)
        slots = table["exists"].shape[1]
        draws = jax.vmap(lambda key: jax.random.uniform(key, (1 + windows.shape[1], slots)))(keys)
        clip_draws, window_draws = draws[:, 0], draws[:, 1:]
    window = read_window(memory, windows, model.config.instances.slots, draws=window_draws)
    own = {name: each[here] for name, each in table.items()}
    logits = model.apply(
        variables,
        ActorFeatures(own["roi"], own["actor"]),
        own["exists"],
        window,
        clip_draws,
        method="classify",
    )
    scores = probabilities(logits, poses) * own["scores"][..., None]
    found = (own["shares"], scores, own["exists"])
    if jax.sharding.get_abstract_mesh().empty:
        return found
    # Few numbers, which every host reads.
    return jax.lax.with_sharding_constraint(found, PartitionSpec())


def truth_of(config: ConfigDict, names: Sequence[str]) -> Truth:
    """The people that an evaluation compares with.  names: of the actions."""
    frames = KeyFrames()
    if config.data.name == "ava":
        labels = counted_labels(config.data.labels)
        rows, _, _ = read_truth(path_to(config.data.truth), frames, labels)
        excluded: set[int] = set()
        if config.data.excluded:
            excluded = read_excluded(path_to(config.data.excluded), frames)
        return Truth(FrameBoxes(*rows), lambda moment: frames.number(*moment), excluded)
    found = []
    records = films.annotated(config, "validation", names)
    for index in range(len(records)):
        image, people = records[index].image, records[index].people
        shares = pixel_boxes.shares(people.boxes.astype(np.float64), (image.width, image.height))
        number = frames.number(image.movie, image.second)
        found.append(rows_of_people(shares, people.actions.astype(np.float64), number, 0.5))
    joined = FrameBoxes(*(np.concatenate(column) for column in zip(*found, strict=True)))
    return Truth(joined, lambda moment: frames.number(*moment))


def tube_results(config: ConfigDict) -> MoreResults | None:
    """ACT's results where the data are tubes, else None."""
    if config.data.name != "tubes":
        return None
    truth = tubes_of(config)
    videos = truth.split(config.data.split, "test")

    def results(found: Found) -> dict[str, float]:
        people = {
            (film, int(frame)): (boxes.astype(np.float64), scores)
            for (film, frame), boxes, scores in found
        }
        return tube_scores(truth, videos, people)

    return results


def frame_map(
    outputs: Callable[..., Any],
    sources: Mapping[str, Source],
    specs: BatchSpecs,
    *,
    moments: Mapping[str, Sequence[Moment]],
    stage: SecondStage,
    truth: Truth,
    labels: Sequence[int],
    names: Sequence[str],
    more: MoreResults | None = None,
) -> Evaluation:
    """AVA's frame mAP at IoU 0.5 over every second with a detected person, without a limit of
    detections, as published.

    outputs: of the first stage.  moments: of the records of each bucket's source.  labels: ids,
    from 1, that count.  more: results besides, of what was found.

    `people_per_second` are those that were asked about, `people_left_out` those without room.
    """

    def finish(total: Mapping[str, KeptOutputs], variables: Variables) -> dict[str, float]:
        order = list(total)
        found = stage.run(variables, [total[n] for n in order], [moments[n] for n in order])
        rows = [
            rows_of_people(
                boxes.astype(np.float64).round(DECIMALS),
                scores.astype(np.float64).round(DECIMALS),
                truth.number(moment),
            )
            for moment, boxes, scores in found
        ]
        detections = FrameBoxes(*(np.concatenate(column) for column in zip(*rows, strict=True)))
        precisions = average_precisions(
            truth.rows, detections, labels, excluded=set(truth.excluded)
        )
        results = frame_results(precisions, labels, names, len(found))
        seconds = max(len(found), 1)
        beyond = sum(int(jnp.sum(outputs.rows["beyond"])) for outputs in total.values())
        results["people_per_second"] = sum(len(b) for _, b, _ in found) / seconds
        results["people_left_out"] = beyond / seconds
        return results if more is None else {**results, **more(found)}

    return Evaluation(
        source=sources, batch_specs=specs, outputs=outputs, accumulate=None, finish=finish
    )
