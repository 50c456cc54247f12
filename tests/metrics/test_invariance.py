"""Every metric is the same whatever the batches, their order, their padding and the processes.

A dataset's records arrive in batches of any size, on any process, in any order, and a padded batch
repeats records that were counted. What a metric makes of that is what it makes of all records at
once, in the order of the dataset. Scores are distinct: where they are equal, the order of the
dataset decides, which each metric says.
"""

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from jaxvision import metrics
from jaxvision.metrics import (
    action_frames,
    action_tubes,
    detection,
    image_quality,
    kitti_scene_flow,
    multi_view,
    procedure_planning,
    retrieval,
    scene_flow,
    segmentation,
)

CLASSES, STEPS, FRAMES = 4, 3, 20
Draws = np.random.Generator


class Record(NamedTuple):
    """number: of the record in its dataset.  value: what one record's outputs and labels are."""

    number: int
    value: Any


@dataclass(frozen=True)
class Metric:
    """make: the value of a record of this number.  part: what a process keeps of one batch.
    finish: the answer to all parts, in any order.  covers: functions that it goes through."""

    make: Callable[[Draws, int], Any]
    part: Callable[[Sequence[Record]], Any]
    finish: Callable[[Sequence[Any]], Any]
    covers: tuple[Callable, ...]


def keep(batch: Sequence[Record]) -> dict[int, Any]:
    """By number: a record that padding repeats counts once."""
    return {record.number: record.value for record in batch}


def by_number(parts: Iterable[Mapping[int, Any]]) -> list[Any]:
    """All values in whatever order they came."""
    return list({number: value for part in parts for number, value in part.items()}.values())


def rows_of(kind: type, values: Iterable[Any]) -> Any:
    """Tables of records, one after the other."""
    return kind(*(np.concatenate(column) for column in zip(*values, strict=True)))


def both_rows(kind: type, parts: Sequence[Mapping[int, Any]]) -> tuple[Any, Any]:
    """(truth, found) of all records."""
    truths, founds = zip(*by_number(parts), strict=True)
    return rows_of(kind, truths), rows_of(kind, founds)


# Segmentation: points of a scan, added up in a confusion matrix by each process.


def labelled_points(draws: Draws, number: int) -> Any:
    return draws.integers(0, CLASSES, (2, 50))


def counted(batch: Sequence[Record]) -> np.ndarray:
    counts = np.zeros((CLASSES, CLASSES), np.int64)
    for predicted, truth in keep(batch).values():
        counts += segmentation.confusion_matrix(predicted, truth, CLASSES)
    return counts


def all_ious(parts: Sequence[np.ndarray]) -> Any:
    total = np.sum(parts, axis=0)
    return [
        segmentation.semantickitti_iou(total),
        segmentation.nuscenes_iou(total),
        segmentation.link_iou(total),
        multi_view.class_recalls(total),
    ]


# Classification: views of videos, kept by video and view.


def view(draws: Draws, number: int) -> Any:
    video = number // 3
    label = np.random.default_rng(video).integers(0, CLASSES)
    return {"video": video, "view": number % 3, "label": label, "logits": draws.normal(size=6)}


def views_of(batch: Sequence[Record]) -> dict[int, Any]:
    """Padding stays in: it comes twice."""
    stacked = {key: np.stack([record.value[key] for record in batch]) for key in batch[0].value}
    return multi_view.collect_views(None, stacked, np.arange(len(batch)), "")


def accuracies(parts: Sequence[Mapping[int, Any]]) -> Any:
    total: Any = None
    for part in parts:
        views = [(video, v, *rest) for video, rest in part.items() for v in rest[0]]
        outputs = {
            "video": np.array([video for video, *_ in views]),
            "view": np.array([v for _, v, *_ in views]),
            "label": np.array([label for *_, label in views]),
            "logits": np.stack([kept[v] for _, v, kept, _ in views]),
        }
        total = multi_view.collect_views(total, outputs, np.arange(len(views)), "")
    return [
        [multi_view.multi_view_accuracy(total, merge) for merge in multi_view.MERGES],
        multi_view.confusion_of_views(total),
        list(multi_view.probabilities_of_videos(total)),
    ]


# Boxes of people on key frames.


def frame_boxes(draws: Draws, number: int, rows: int) -> action_frames.FrameBoxes:
    corner = draws.random((rows, 2)) / 2
    box = np.concatenate([corner, corner + 0.2 + draws.random((rows, 2)) / 4], axis=1)
    labels = draws.integers(0, CLASSES, rows)
    return action_frames.FrameBoxes(np.full(rows, number), box, labels, draws.random(rows))


def people(draws: Draws, number: int) -> Any:
    truth = frame_boxes(draws, number, 4)
    found = frame_boxes(draws, number, 6)
    found.box[:3], found.label[:3] = truth.box[:3] + 0.01, truth.label[:3]
    return truth, found


def frame_precision(parts: Sequence[Mapping[int, Any]]) -> Any:
    truth, found = both_rows(action_frames.FrameBoxes, parts)
    labels = range(CLASSES)
    answers = [
        action_frames.average_precisions(
            truth, found, labels, rules=action_frames.Rules(capacity=capacity), excluded={3}
        )
        for capacity in (None, 4)
    ]
    means = [action_frames.mean_average_precision(answer) for answer in answers]
    return [answers, means, action_frames.never_met(truth, found, labels)]


# Tubes of videos.


def tubes(draws: Draws, number: int) -> Any:
    corner = draws.uniform(0, 50, 2)
    box = np.array([*corner, *(corner + 20)])
    frames = np.arange(1, FRAMES + 1)
    truth = np.concatenate([frames[:, None], np.tile(box, (FRAMES, 1))], axis=1)
    starts, noise = np.arange(1, FRAMES - 1), draws.normal(size=(FRAMES - 2, 3, 4))
    label, other = draws.integers(0, 2, 2)
    n = len(starts)
    found = action_tubes.Tubelets(
        video=np.full(n, number),
        start=starts,
        label=np.where(draws.random(n) < 0.8, label, other),
        boxes=box + noise,
        score=draws.random(n),
    )
    return {int(label): [truth]}, found


def tube_precision(parts: Sequence[Mapping[int, Any]]) -> Any:
    kept = {number: value for part in parts for number, value in part.items()}
    truth = [kept[number][0] for number in sorted(kept)]
    found = rows_of(action_tubes.Tubelets, (found for _, found in kept.values()))
    linked = [action_tubes.tubes_of_video(found, video, 2, FRAMES) for video in sorted(kept)]
    rows = action_tubes.frame_detections(found)
    return [
        [action_tubes.frame_average_precision(truth, rows, 2, t) for t in (0.5, 0.75)],
        [action_tubes.video_average_precision(truth, linked, 2, t) for t in (0.2, 0.5)],
    ]


# Boxes around cars.


def cars(draws: Draws, number: int) -> Any:
    def boxes(rows: int, points: int) -> detection.EvaluatedBoxes:
        return detection.EvaluatedBoxes(
            sample=np.full(rows, number),
            translation=draws.uniform(-30, 30, (rows, 3)),
            size=draws.uniform(1, 4, (rows, 3)),
            rotation=np.tile([1.0, 0, 0, 0], (rows, 1)),
            velocity=draws.normal(size=(rows, 2)),
            label=draws.integers(0, CLASSES, rows),
            attribute=draws.integers(-1, 3, rows),
            points=np.full(rows, points),
            score=draws.random(rows),
        )

    truth, found = boxes(4, 5), boxes(6, -1)
    found.translation[:3] = truth.translation[:3] + draws.normal(size=(3, 3)) / 2
    found.label[:3] = truth.label[:3]
    return truth, found


def nuscenes_numbers(parts: Sequence[Mapping[int, Any]]) -> Any:
    truth, found = both_rows(detection.EvaluatedBoxes, parts)
    ego = np.zeros((1 + truth.sample.max(), 3))
    racks = detection.BikeRacks(
        np.zeros(0, int), np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 4))
    )
    chosen = detection.Settings(classes=detection.CLASSES[:CLASSES])
    counts = [
        boxes.rows(detection.filter_boxes(boxes, ego, racks, chosen)) for boxes in (truth, found)
    ]
    return detection.evaluate(*counts, chosen)


# Plans.


def plan(draws: Draws, number: int) -> Any:
    samples = draws.integers(0, CLASSES, (5, STEPS))
    truth = draws.integers(0, CLASSES, STEPS)
    return truth, samples, draws.random((STEPS, CLASSES))


def plan_numbers(parts: Sequence[Mapping[int, Any]]) -> Any:
    truth, samples, scores = map(np.stack, zip(*by_number(parts), strict=True))
    first = samples[:, 0]
    return [
        procedure_planning.planning_metrics(first, truth),
        procedure_planning.pooled_iou(first, truth),
        procedure_planning.top_k_accuracy(scores, truth, 2),
        procedure_planning.uncertainty_summary(
            procedure_planning.uncertainty(truth, samples, CLASSES)
        ),
        procedure_planning.step_frequencies(truth, CLASSES),
    ]


# Retrieval: one embedding of a video and of its text.


def pair(draws: Draws, number: int) -> Any:
    video = draws.normal(size=8)
    return video, video + 1.5 * draws.normal(size=8)


def recall_numbers(parts: Sequence[Mapping[int, Any]]) -> Any:
    videos, texts = map(np.stack, zip(*by_number(parts), strict=True))
    # Not by one product of matrices: its rounding depends on where a row stands.
    scores = np.sum(videos[:, None] * texts[None], axis=-1)
    own = list(range(len(videos)))
    return retrieval.retrieval_recalls(scores, scores.T, own, own)


# Pictures.


def two_pictures(draws: Draws, number: int) -> Any:
    truth = draws.integers(0, 256, (12, 12, 3), np.uint8)
    found = np.clip(truth / 255 + draws.normal(size=truth.shape) / 20, 0, 1)
    return found, truth


def picture_means(parts: Sequence[Mapping[int, Any]]) -> Any:
    values = []
    for found, truth in by_number(parts):
        stored = (image_quality.round_to_8_bits(found) * 255).round().astype(np.uint8)
        values.append(
            [
                image_quality.psnr(found, truth / 255),
                image_quality.ssim_volume(found, truth / 255),
                image_quality.ssim_uniform(stored, truth),
                image_quality.luma_psnr(stored, truth),
                image_quality.interpolation_error(found, truth),
            ]
        )
    return np.mean(values, axis=0)


# Flow and scene flow: sums and counts of a frame, added up.


def two_flows(draws: Draws, number: int) -> Any:
    truth = 4 * draws.normal(size=(6, 7, 5))
    return truth + draws.normal(size=truth.shape), truth, draws.random((6, 7)) < 0.8


def flow_means(parts: Sequence[Mapping[int, Any]]) -> Any:
    totals: list[dict[str, Any]] = [{}, {}, {}]
    for found, truth, valid in by_number(parts):
        sums = (
            scene_flow.flow_2d_sums(found[..., :2], truth[..., :2], valid),
            scene_flow.flow_3d_sums(found[..., 2:] / 9, truth[..., 2:] / 9, valid),
            scene_flow.lidar_sums(found[..., 2:] / 9, truth[..., 2:] / 9, valid),
        )
        for total, of_frame in zip(totals, sums, strict=True):
            for name, pair in of_frame.items():
                total[name] = np.add(total.get(name, (0, 0)), pair)
    return [scene_flow.means(total) for total in totals]


def kitti_frames(draws: Draws, number: int) -> Any:
    def frame(share: float = 0.9) -> kitti_scene_flow.Frame:
        maps = 4 * draws.normal(size=(4, 5, 6))
        known = draws.random((3, 5, 6)) < share
        first, second = (np.abs(maps[:2]) + 1) * known[:2]
        flow = np.moveaxis(maps[2:], 0, -1) * known[2, ..., None]
        return kitti_scene_flow.Frame(first, second, flow, known[2])

    return frame(share=0.6), frame(), draws.integers(0, 2, (5, 6)).astype(np.uint8)


def kitti_rates(parts: Sequence[Mapping[int, Any]]) -> Any:
    counts = [kitti_scene_flow.count(*value) for value in by_number(parts)]
    total = kitti_scene_flow.Counts(*(sum(column) for column in zip(*counts, strict=True)))
    return [kitti_scene_flow.rates(total), kitti_scene_flow.density(total)]


METRICS = {
    "segmentation": Metric(
        labelled_points,
        counted,
        all_ious,
        (
            segmentation.confusion_matrix,
            segmentation.semantickitti_iou,
            segmentation.nuscenes_iou,
            segmentation.link_iou,
            multi_view.class_recalls,
        ),
    ),
    "views": Metric(
        view,
        views_of,
        accuracies,
        (
            multi_view.collect_views,
            multi_view.multi_view_accuracy,
            multi_view.confusion_of_views,
            multi_view.probabilities_of_videos,
            multi_view.video_scores,
            multi_view.top_k,
        ),
    ),
    "people on frames": Metric(
        people,
        keep,
        frame_precision,
        (
            action_frames.average_precisions,
            action_frames.iou,  # which it calls row by row
            action_frames.mean_average_precision,
            action_frames.never_met,
        ),
    ),
    "tubes": Metric(
        tubes,
        keep,
        tube_precision,
        (
            action_tubes.frame_detections,
            action_tubes.frame_average_precision,
            action_tubes.tubes_of_video,
            action_tubes.video_average_precision,
            action_tubes.keep_best_tubes,
            action_tubes.tube_iou,
        ),
    ),
    "cars": Metric(
        cars,
        keep,
        nuscenes_numbers,
        (
            detection.filter_boxes,
            detection.evaluate,
            detection.match,
            detection.pair_errors,
        ),
    ),
    "plans": Metric(
        plan,
        keep,
        plan_numbers,
        (
            procedure_planning.planning_metrics,
            procedure_planning.pooled_iou,
            procedure_planning.top_k_accuracy,
            procedure_planning.uncertainty,
            procedure_planning.uncertainty_summary,
            procedure_planning.step_frequencies,
            procedure_planning.plan_codes,
            procedure_planning.correct_steps,
            procedure_planning.set_ious,
        ),
    ),
    "retrieval": Metric(
        pair,
        keep,
        recall_numbers,
        (retrieval.retrieval_recalls, retrieval.best_ranks, retrieval.recalls),
    ),
    "pictures": Metric(
        two_pictures,
        keep,
        picture_means,
        (
            image_quality.psnr,
            image_quality.ssim_volume,
            image_quality.ssim_uniform,
            image_quality.luma_psnr,
            image_quality.luma,
            image_quality.interpolation_error,
            image_quality.round_to_8_bits,
        ),
    ),
    "flow": Metric(
        two_flows,
        keep,
        flow_means,
        (
            scene_flow.norm,
            scene_flow.flow_2d_sums,
            scene_flow.flow_3d_sums,
            scene_flow.lidar_sums,
            scene_flow.means,
        ),
    ),
    "KITTI scene flow": Metric(
        kitti_frames,
        keep,
        kitti_rates,
        (
            kitti_scene_flow.fill,
            kitti_scene_flow.fill_frame,
            kitti_scene_flow.count,
            kitti_scene_flow.rates,
            kitti_scene_flow.density,
        ),
    ),
}
# Modules of curves and links alone: what goes through them stands above.
INNER = ("detection_curves", "tube_linking")


def batches(records: Sequence[Record], draws: Draws, processes: int) -> list[list[Record]]:
    """The records shuffled, dealt to processes, cut into batches, each padded by records of its
    process that it or another batch has already; in the order in which they happen to arrive."""
    order = draws.permutation(len(records))
    made = []
    for process in range(processes):
        mine = [records[n] for n in order[process::processes]]
        size = int(draws.integers(1, len(records) + 1))
        for start in range(0, len(mine), size):
            batch = mine[start : start + size]
            padding = draws.integers(0, len(mine), size - len(batch))
            made.append(batch + [mine[n] for n in padding])
    return [made[n] for n in draws.permutation(len(made))]


def counted_once(arrived: list[list[Record]]) -> list[list[Record]]:
    """Without padding, as the engine hands outputs on."""
    seen: set[int] = set()
    return [[r for r in batch if not (r.number in seen or seen.add(r.number))] for batch in arrived]


def assert_same(mine: Any, theirs: Any, place: str = "") -> None:
    if isinstance(theirs, Mapping):
        assert mine.keys() == theirs.keys()
        for key, value in theirs.items():
            assert_same(mine[key], value, f"{place}/{key}")
    elif isinstance(theirs, list) and theirs and not isinstance(theirs[0], (int, float)):
        for number, (one, other) in enumerate(zip(mine, theirs, strict=True)):
            assert_same(one, other, f"{place}/{number}")
    else:
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12, err_msg=place)


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    seed=some.integers(0, 2**32),
    count=some.integers(2, 13),
    processes=some.integers(1, 4),
)
def test_batches_order_padding_and_processes_do_not_matter(name, seed, count, processes):
    metric, draws = METRICS[name], np.random.default_rng(seed)
    records = [Record(number, metric.make(draws, number)) for number in range(count)]
    expected = metric.finish([metric.part(records)])
    arrived = batches(records, draws, processes)
    if name != "views":  # which drops what comes twice itself
        arrived = [batch for batch in counted_once(arrived) if batch]
    assert_same(metric.finish([metric.part(batch) for batch in arrived]), expected)


def test_equal_scores_are_ranked_by_the_order_of_candidates():
    """More candidates than a sort leaves in order by chance."""
    scores = np.arange(60.0)[None] % 3  # 20 of each score
    assert retrieval.best_ranks(scores, [59]).tolist() == [0]
    assert retrieval.best_ranks(scores, [2]).tolist() == [19]
    assert retrieval.best_ranks(scores, [1]).tolist() == [39]


def test_every_metric_stands_in_the_table():
    covered = {function for metric in METRICS.values() for function in metric.covers}
    known = {(f.__module__.rpartition(".")[2], f.__name__) for f in covered}
    there = {
        (file.stem, node.name)
        for file in Path(metrics.__file__).parent.glob("*.py")
        if file.stem not in INNER
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }
    assert known == there
