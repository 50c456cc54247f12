"""Golden runners of UMT's action detector: network, boxes, mean average precision."""

import functools

import jax
import numpy as np

from golden_case import Case, Config, runner
from golden_runners.gradients import gradient_outputs
from golden_runners.umt import channels_last, encoder_block
from jaxvision.data.actions import pixel_boxes
from jaxvision.methods.umt.detection.model import BINS, ActionDetector
from jaxvision.methods.umt.detection.objective import action_loss
from jaxvision.methods.umt.weights import detector_entries
from jaxvision.metrics import action_frames
from jaxvision.nn.video_transformer import CubeGrid
from jaxvision.weights import to_variables


@functools.cache
def detection_step(config: Config):
    """(entries, jitted (params, video, boxes, labels, exists) -> answers and gradients)."""
    side = config["img_size"]
    model = ActionDetector(
        CubeGrid(config["all_frames"], (side, side), config["tubelet_size"], config["patch_size"]),
        encoder_block(config, "embed_dim", "num_heads"),
        config["depth"],
        config["num_classes"],
    )
    assert (config["roi_resolution"], config["roi_scale"]) == (BINS[0], 1 / config["patch_size"])

    def loss(params, video, boxes, labels, exists):
        logits = model.apply({"params": params}, video, boxes)
        seen = model.apply({"params": params}, video, boxes, features=True)
        return action_loss(logits, labels, exists), (logits, seen)

    return detector_entries(model), jax.jit(jax.value_and_grad(loss, has_aux=True))


@runner(
    "umt",
    "single_modality/action_detection/modeling_finetune.py:VisionTransformer, "
    "engine_for_finetuning.py:PostProcessor/train_class_batch",
    fixed={"model": "umt_action_detector", "roi_sampling_ratio": 0, "roi_aligned": False},
)
def detector(case: Case) -> dict:
    entries, step = detection_step(case.config)
    variables, _ = to_variables(case.state_dict(), entries)
    video, clip = channels_last(case.input("video")), case.input("batch_index")
    # 1. Boxes grow on their own frames, clip by clip, and stand in rows of their clips.
    boxes = case.input("boxes").copy()
    for number, size in enumerate(case.input("image_sizes_wh").tolist()):
        rows = clip == number
        grown = tuple(case.config["box_extend"])
        boxes[rows] = pixel_boxes.extended(boxes[rows], grown, tuple(size))
    row = np.array([np.sum(clip[:n] == c) for n, c in enumerate(clip)])
    shape = (len(video), row.max() + 1)

    def padded(values: np.ndarray) -> np.ndarray:
        rows = np.zeros((*shape, *values.shape[1:]), np.float32)
        rows[clip, row] = values
        return rows

    exists = padded(np.ones(len(boxes))) > 0
    # 2. Their logits, and the loss of those that are there.
    (loss, (logits, seen)), grads = step(
        variables["params"], video, padded(boxes), padded(case.input("labels")), exists
    )
    answers = {
        "logits": logits[clip, row],
        "roi_features": seen[clip, row],
        "extended_boxes": boxes,
        "scores": jax.nn.sigmoid(logits[clip, row]) * case.input("box_scores"),
        "loss": loss,
    }
    return answers | gradient_outputs(case.outputs, {"params": grads}, entries)


@runner(
    "umt",
    "single_modality/action_detection/alphaction/structures/bounding_box.py:BoxList",
)
def detector_boxes(case: Case) -> dict:
    config, boxes, read = case.config, case.input("boxes"), case.input("boxes_xywh")
    width, _ = size = tuple(config["image_wh"])
    from_read = pixel_boxes.from_corner_and_size(read)
    clipped = pixel_boxes.clipped(from_read, size)
    draws = np.concatenate([case.input(f"u{side}") for side in range(4)], axis=1)
    answers = {
        "extend": pixel_boxes.extended(boxes, tuple(config["extend"]), size),
        "to_xywh": pixel_boxes.to_corner_and_size(boxes),
        "flip_lr": pixel_boxes.mirrored(boxes, width),
        "area": pixel_boxes.area(boxes),
        "xywh_to_xyxy": from_read,
        "clipped": clipped[pixel_boxes.not_empty(clipped)],
        "random_aug": pixel_boxes.jittered(
            boxes, size, draws, pixel_boxes.Jitter(**config["random_aug"])
        ),
    }
    for name in case.outputs:
        kind, _, numbers = name.partition("_")
        if kind == "resize":
            new = tuple(int(side) for side in numbers.split("x"))
            answers[name] = pixel_boxes.resized(boxes, size, new)
        elif kind == "crop":
            inside = tuple(int(side) for side in numbers.split("_"))
            answers[name] = pixel_boxes.cropped(boxes, inside)
    return answers


@runner(
    "umt",
    "single_modality/action_detection/alphaction/dataset/datasets/evaluation/ava/"
    "pascal_evaluation/object_detection_evaluation.py:PascalDetectionEvaluator",
)
def frame_map(case: Case) -> dict:
    def rows(values: np.ndarray) -> action_frames.FrameBoxes:
        y1, x1, y2, x2 = values.T[1:5]
        score = values[:, 6] if values.shape[1] > 6 else np.ones(len(values))
        box = np.stack([x1, y1, x2, y2], axis=1)
        return action_frames.FrameBoxes(
            values[:, 0].astype(int), box, values[:, 5].astype(int), score
        )

    precisions = action_frames.average_precisions(
        rows(case.input("ground_truth")),
        rows(case.input("detections")),
        case.config["category_ids"],
        rules=action_frames.Rules(iou=case.config["iou_threshold"]),
    )
    return {
        "map": np.float64(action_frames.mean_average_precision(precisions)),
        "ap_present_categories": precisions[~np.isnan(precisions)],
    }
