"""Golden runners of VideoMAE: sampling, geometry, augmentation, mixing, merging of views."""

import jax
import jax.numpy as jnp
import numpy as np

from golden_case import Case, runner
from golden_runners.videomae_classification import classifier
from jaxvision.data import crops, video_clips
from jaxvision.data.augment import rand_augment
from jaxvision.data.mixing import Mix, mix_batch
from jaxvision.data.normalisation import normalise
from jaxvision.data.resize import resize_short_side, resized_crop
from jaxvision.methods.videomae.temporal_features import DATASETS, window_clip
from jaxvision.metrics.multi_view import collect_views, multi_view_accuracy, video_scores
from jaxvision.weights import to_variables
from jaxvision.weights.video_transformer_entries import classification_entries


def channels_first(video: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.asarray(video), -1, 0)


@runner("videomae", "dataset/video_transforms.py:random_resized_crop")
def resized_crops(case: Case) -> dict:
    clip = np.moveaxis(case.input("clip"), 0, -1)
    answers = {}
    for name, given in case.config.items():
        box = crops.Box(given["top"], given["left"], given["height"], given["width"])
        answers[name] = channels_first(resized_crop(clip, box, (given["out"],) * 2))
    return answers


@runner(
    "videomae",
    "dataset/datasets.py:load_video/load_frame, dataset/pretrain_datasets.py:HybridVideoMAE, "
    "extract_tad_feature.py:get_start_idx_range",
)
def frame_sampling(case: Case) -> dict:
    answers = {}
    for name, given in case.config.items():
        total = given["num_frames_in_video"]
        # The draws are the reference's own; ours take them as arguments.
        legacy = np.random.RandomState(given.get("numpy_seed", 0))
        frames = given.get("clip_len", given.get("num_segments", given.get("num_frames")))
        stride = given.get("sampling_rate")
        if given["kind"] == "video_validation":
            answers[name] = video_clips.dense_validation_clip(total, frames, stride)
        elif given["kind"] == "video_train":
            span = frames * stride
            end = legacy.randint(span, total) if total > span else span
            answers[name] = video_clips.dense_training_clip(total, frames, stride, end)
        elif given["kind"].startswith("rawframes"):
            offsets = None
            if given["kind"] == "rawframes_train" and total >= frames:
                offsets = legacy.randint(total // frames, size=frames)
            clip = video_clips.segment_clip(total, frames, offsets)
            answers[name] = clip + given["start_idx"]
        elif given["kind"] == "pretrain":
            count = video_clips.pretraining_starts(total, frames, stride)
            start = given.get("offset", legacy.randint(count))
            answers[name] = video_clips.pretraining_clip(total, frames, stride, start)
            answers[f"{name}_offset"] = np.array([start])
        else:
            step = DATASETS[given["dataset"].lower()]
            answers[name] = video_clips.window_starts(total, 16, step)
    return answers


@runner(
    "videomae",
    "dataset/datasets.py:VideoClsDataset,RawFrameClsDataset (test mode)",
    ignores={"*.short_side": "the smaller of the height and the width given"},
)
def multi_view_geometry(case: Case) -> dict:
    answers = {}
    for name, given in case.config.items():
        total, segments = given["num_frames_in_video"], given["segments"]
        if given["sampling"] == "dense":
            clips = video_clips.dense_test_clips(
                total, given["clip_len"], given["sampling_rate"], segments
            )
        else:
            clips = video_clips.sparse_test_clips(total, given["frames_per_clip"], segments)
        boxes = crops.long_side_boxes(given["height"], given["width"], given["crops"])
        views = [(s, c) for s in range(segments) for c in range(given["crops"])]
        answers |= {
            f"{name}/frame_ids": np.stack([clips[s] for s, _ in views]) + given.get("start_idx", 0),
            f"{name}/top": np.array([boxes[c].top for _, c in views]),
            f"{name}/left": np.array([boxes[c].left for _, c in views]),
            f"{name}/segment_crop": np.array(views),
            f"{name}/crop_hw": np.array([boxes[0].height, boxes[0].width]),
        }
    return answers


@runner("videomae", "dataset/datasets.py (validation/test transforms)")
def validation_and_test_pictures(case: Case) -> dict:
    frames = resize_short_side(case.input("frames"), case.config["short_side"])
    height, width = frames.shape[1:3]

    def finished(box: crops.Box) -> np.ndarray:
        return channels_first(normalise(jnp.asarray(box.cut(frames))))

    side = case.config["val_crop"]
    boxes = crops.long_side_boxes(height, width, case.config["test_crops"])
    return {
        "resized_hw": np.array([height, width]),
        "validation": finished(crops.centre_box(height, width, (side, side))),
        "test_crops": np.stack([finished(box) for box in boxes]),
    }


@runner(
    "videomae",
    "dataset/functional.py, video_transforms.py:CenterCrop, transforms.py:GroupMultiScaleCrop",
)
def geometry(case: Case) -> dict:
    config = dict(case.config)
    resizes = config.pop("resize_inputs_h_w_shortside", [])
    centres = config.pop("center_crop_inputs_h_w_size", [])
    answers = {
        "resized_hw": np.array([crops.short_side_size(*given) for given in resizes]),
        "center_crop_top_left": np.array(
            [crops.centre_box(h, w, (side, side))[:2] for h, w, side in centres]
        ),
    }
    for name, given in config.items():
        height, width = given["height"], given["width"]
        sizes = crops.multi_scale_sizes(height, width, given["input_size"])
        answers[f"{name}/crop_wh_candidates"] = np.array(sizes)
        for which, size in (("first", sizes[0]), ("last", sizes[-1])):
            offsets = crops.fixed_offsets(height, width, size)
            answers[f"{name}/offsets_of_{which}"] = np.array(offsets)
    return answers


@runner(
    "videomae",
    "dataset/rand_augment.py:AugmentOp",
    fixed={
        "policy": "rand-m7-n4-mstd0.5-inc1",
        "image_size": 224,
        "fill": [128, 128, 128],
        "interpolation": "bicubic",
    },
)
def rand_augment_operations(case: Case) -> dict:
    answers = {}
    for output in case.outputs:
        kind, _, name = output.partition("/")
        magnitude = float(kind.rpartition("_m")[2])
        if kind.startswith("args"):
            values = [rand_augment.argument(op, magnitude) for op in case.config["op_names"]]
            answers[output] = np.array([-1.0 if value is None else value for value in values])
        else:
            steps = [(name, rand_augment.argument(name, magnitude))]
            answers[output] = rand_augment.apply_steps(case.input("image")[None], steps)[0]
    return answers


@runner("videomae", "Mixup as used by run_class_finetuning.py")
def mixing(case: Case) -> dict:
    config = case.config
    # [b, c*t, h, w] of the reference is one "frame" of c*t channels here.
    pictures = np.moveaxis(case.input("x"), 1, -1)
    mixed = jax.jit(mix_batch, static_argnames=("classes", "smoothing"))
    assert pictures.shape[:3] == (config["batch"], config["height"], config["width"])
    answers = {}
    for name, draw in config["draws"].items():
        centre = [draw.get("center_y", 0), draw.get("center_x", 0)]
        mix = Mix(jnp.array([draw["lam"]]), jnp.array([draw["cutmix"]]), jnp.array([centre]))
        got, target, ratio = mixed(
            pictures,
            case.input("labels"),
            mix,
            classes=config["classes"],
            smoothing=config["smoothing"],
        )
        answers[f"{name}/x"] = np.moveaxis(np.asarray(got), -1, 1)
        answers[f"{name}/target"], answers[f"{name}/lam_used"] = target, ratio[0]
    return answers


@runner("videomae", "engine_for_finetuning.py:merge,compute_video")
def merged_views(case: Case) -> dict:
    logits, labels = case.input("logits"), case.input("labels")
    videos, views, _ = logits.shape
    given = [case.config[name] for name in ("videos", "views_per_video", "classes")]
    assert list(logits.shape) == given
    assert not views % case.config["crops"]
    number, view = np.divmod(np.arange(videos * views), views)
    rows = {"logits": logits.reshape(videos * views, -1), "video": number, "view": view}
    total = collect_views(None, {**rows, "label": labels[number]}, np.arange(len(number)), "clips")
    answers = {}
    for merge in ("prob", "score"):
        accuracy = multi_view_accuracy(total, merge)
        answers[f"top1_{merge}"] = 100 * accuracy["top1"]
        answers[f"top5_{merge}"] = 100 * accuracy["top5"]
        answers[f"video_scores_{merge}"] = np.stack([video_scores(x, merge) for x in logits])
    return answers


@runner("videomae", "extract_tad_feature.py:extract_feature", fixed={"kind": "tad_feature"})
def temporal_features(case: Case) -> dict:
    model = classifier(case.config)
    variables, _ = to_variables(case.state_dict(), classification_entries(model))
    clip = window_clip(case.input("frames"), model.grid.image_size)
    feature = jax.jit(lambda v, x: model.apply(v, x[None], features=True))(variables, clip)
    return {"clip": channels_first(clip), "feature": feature}
