"""Frame and video mAP of UCF101-24 and JHMDB by ACT's rules, of people on single frames."""

import functools
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from jaxvision.data.actions.act_files import ActionTubes, read_act_tubes
from jaxvision.errors import InputError
from jaxvision.metrics.action_tubes import (
    VIDEO_THRESHOLDS,
    Tubelets,
    frame_average_precision,
    frame_detections,
    tubes_of_video,
    video_average_precision,
)
from jaxvision.stores.stored_path import path_to

# Boxes x1, y1, x2, y2 as shares of the frame, and the probability of every action.
ScoredPeople = tuple[Float[np.ndarray, "n 4"], Float[np.ndarray, "n actions"]]


def tubes_of(config: ConfigDict) -> ActionTubes:
    """The true tubes of UCF101-24 or JHMDB. InputError where `data.tubes` names no file."""
    if not config.data.tubes:
        raise InputError("data.tubes: expected the pickle of the tubes' boxes")
    return _read_tubes(config.data.tubes)


@functools.lru_cache(maxsize=1)
def _read_tubes(path: str) -> ActionTubes:
    return read_act_tubes(path_to(path))


def tube_scores(
    truth: ActionTubes, videos: Sequence[str], people: Mapping[tuple[str, int], ScoredPeople]
) -> dict[str, float]:
    """Frame mAP at IoU 0.5 and video mAP, in percent.

    videos: of the split.  people: of every frame (video, number from 1) that has any.
    """
    # 1. Every person's every action as a tubelet of one frame, in inclusive pixels.
    place = {video: number for number, video in enumerate(videos)}
    rows = []
    for (video, frame), (shares, scores) in sorted(
        people.items(), key=lambda entry: (place[entry[0][0]], entry[0][1])
    ):
        height, width = truth.resolution[video]
        boxes = shares * (width, height, width, height) - (0, 0, 1, 1)
        actions = scores.shape[1]
        rows.append(
            (
                *(np.full(scores.size, value) for value in (place[video], frame)),
                np.tile(np.arange(actions), len(boxes)),
                np.repeat(boxes, actions, axis=0)[:, None],
                scores.reshape(-1),
            )
        )
    tubelets = Tubelets(*(np.concatenate(columns) for columns in zip(*rows, strict=True)))
    # 2. On frames, then linked through each video.
    labels, true = len(truth.labels), [truth.tubes[video] for video in videos]
    by_frame = frame_average_precision(true, frame_detections(tubelets), labels, 0.5)
    tubes = [
        tubes_of_video(tubelets, number, labels, truth.frames[video])
        for number, video in enumerate(videos)
    ]

    def video_map(threshold: float) -> float:
        return 100 * float(np.mean(video_average_precision(true, tubes, labels, threshold)))

    return {
        "frame_map": 100 * float(np.mean(by_frame)),
        "video_map_0.2": video_map(0.2),
        "video_map_0.5": video_map(0.5),
        "video_map_0.5_to_0.95": float(np.mean([video_map(t) for t in VIDEO_THRESHOLDS])),
    }
