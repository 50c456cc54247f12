"""Golden runners of what action detectors read and write: boxes, frames, annotation files."""

import tempfile
from pathlib import Path

import numpy as np

from golden_case import Case, runner
from jaxvision.data.actions import ava_files, ava_people, clip_frames, json_files, pixel_boxes
from jaxvision.data.augment.hsv import shift_hsv
from jaxvision.data.fixed_point_resize import opencv_resize

BOX_LIST = "alphaction/structures/bounding_box.py:BoxList"


@runner("cycleacr", BOX_LIST)
def box_rules(case: Case) -> dict:
    width, height = size = tuple(case.config["image_size_wh"])
    boxes, read = case.input("boxes_xyxy"), case.input("boxes_xywh")
    from_read = pixel_boxes.from_corner_and_size(read)
    clipped = pixel_boxes.clipped(boxes, size)
    resized = pixel_boxes.resized(from_read, size, (400, 256))
    return {
        "xywh_to_xyxy": from_read,
        "xyxy_to_xywh": pixel_boxes.to_corner_and_size(boxes),
        "resize_same_ratio_320x240": pixel_boxes.resized(boxes, size, (320, 240)),
        "resize_400x256": pixel_boxes.resized(boxes, size, (400, 256)),
        "resize_xywh_400x256": pixel_boxes.to_corner_and_size(resized),
        "flip_left_right": pixel_boxes.mirrored(boxes, width),
        "flip_top_bottom": pixel_boxes.upside_down(boxes, height),
        "clipped_all": clipped,
        "clipped_non_empty": clipped[pixel_boxes.not_empty(clipped)],
        "extend_m005_m010": pixel_boxes.extended(boxes, (-0.05, -0.1), size),
        "extend_010_005": pixel_boxes.extended(boxes, (0.1, 0.05), size),
        "extend_single_02": pixel_boxes.extended(boxes, (0.2, 0.2), size),
        "crop_50_30_250_230": pixel_boxes.cropped(boxes, (50, 30, 250, 230)),
        "area_xyxy": pixel_boxes.area(boxes),
        "area_xywh": read[:, 2:].prod(axis=1),
    }


@runner("cycleacr", f"{BOX_LIST}.random_aug")
def box_jitter(case: Case) -> dict:
    config = case.config
    names = ("jitter_x_out", "jitter_x_in", "jitter_y_out", "jitter_y_in")
    jitter = pixel_boxes.Jitter(*(config[name] for name in names))
    boxes, draws = case.input("boxes_xyxy"), case.input("u")[..., 0].T
    return {"out": pixel_boxes.jittered(boxes, tuple(config["image_size_wh"]), draws, jitter)}


def numbers_of(name: str) -> dict[str, int]:
    """{"n": 64, "f": 32} of "..._n64_f32"."""
    parts = [part for part in name.split("_") if part[-1].isdigit()]
    return {
        part.rstrip("0123456789"): int(part.strip("abcdefghijklmnopqrstuvwxyz")) for part in parts
    }


@runner(
    "cycleacr",
    "alphaction/dataset/transforms/video_transforms.py and alphaction/dataset/collate_batch.py",
)
def frame_choice(case: Case) -> dict:
    answers: dict = {}
    for name in case.outputs:
        given = numbers_of(name)
        if name.startswith("temporal"):
            sizes = given["n"], given["f"], given["r"]
            answers[name] = clip_frames.middle(*sizes, given.get("jitter"))
        elif name.startswith(("slow", "fast")):
            slow, fast = clip_frames.slow_and_fast(
                64, given["tau"], given["alpha"], given.get("start")
            )
            answers[name] = slow if name.startswith("slow") else fast
        elif name.startswith("resize"):
            # The published function exchanges height and width where the shorter side is as wanted.
            short, longest = given["min"], given.get("max")
            answers[name] = np.array(
                [
                    (h, w)
                    if min(h, w) == short
                    else clip_frames.bounded_size(h, w, short, longest)[::-1]
                    for h, w in case.config["resize_input_hw"]
                ]
            )
    collate = case.config["collate"]
    shapes = np.array(collate["clips"])
    size = clip_frames.padded_size(shapes[:, 2:], collate["size_divisible"])
    answers["collated_shape"] = np.array([len(shapes), *shapes[0, :2], *size])
    answers["collated_sum_per_clip"] = np.prod(shapes, axis=1).astype(np.float32)
    return answers


@runner("cycleacr", "alphaction/dataset/datasets/ava.py:AVAVideoDataset")
def annotated_and_detected_people(case: Case) -> dict:
    config, answers = case.config, {}
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("annotation_json", "person_box_json")]
        for path in paths:
            path.write_bytes(case.input(path.name).tobytes())
        images, truth, _ = json_files.read_annotations(paths[0], 80)
        detected, _ = json_files.read_detected(paths[1], images, config["box_thresh"])
    for split, people in (("train", truth), ("val", detected)):
        items = [dict(item) for item in config["items"][split]]
        assert items == [
            {"movie": i.movie, "timestamp": i.second, "width": i.width, "height": i.height}
            for i in (images[number] for number in people)
        ]
        answers[f"{split}_num_boxes"] = np.array([len(p.boxes) for p in people.values()])
        for number, found in enumerate(people.values()):
            answers[f"{split}{number}_boxes"] = found.boxes
            answers[f"{split}{number}_labels"] = found.actions
            answers[f"{split}{number}_scores"] = found.scores[:, None]
    counts = {int(second): n for second, n in config["frames_per_second_file"].items()}
    for name in case.outputs:
        if name.startswith("frames"):
            given = numbers_of(name)
            chosen = clip_frames.of_seconds(counts, given["t"], given["span"])
            answers[name] = np.array([1000 * second + frame for second, frame in chosen])
    return {name: value for name, value in answers.items() if name in case.outputs}


@runner(
    "cycleacr",
    "alphaction/dataset/datasets/evaluation/ava/ava_eval.py:prepare_for_ava_detection, write_csv",
)
def exported_detections(case: Case) -> dict:
    config, answers = case.config, {}
    rows, key_frames = [], []
    for n, clip in enumerate(config["clips"]):
        size = (clip["width"], clip["height"])
        boxes, scores = case.input(f"boxes{n}_in"), case.input(f"scores{n}_in")
        found = ava_files.rows_of_people(
            pixel_boxes.shares(pixel_boxes.resized(boxes, tuple(clip["clip_wh"]), size), size),
            scores,
            frame=n,
            threshold=config["action_thresh"],
        )
        answers |= {
            f"boxes{n}": found.box,
            f"scores{n}": found.score,
            f"action_ids{n}": found.label,
        }
        rows.append(found)
        key_frames.append((clip["movie"], float(clip["timestamp"])))
    assert config["keys"] == [f"{movie},{second:04.0f}" for movie, second in key_frames]
    every = ava_files.ActionRows(*(np.concatenate(column) for column in zip(*rows, strict=True)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "detections.csv"
        ava_files.write_detections(path, key_frames, every)
        answers["csv_bytes"] = np.frombuffer(path.read_bytes(), np.uint8)
    return answers


@runner("stmixer", "alphaction/dataset/datasets/ava_helper.py")
def stmixer_annotations(case: Case) -> dict:
    first, last = case.config["valid_seconds"]
    assert (first, last) == (ava_people.FIRST_SECOND, ava_people.LAST_SECOND)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("csv_text", "frame_list_text")]
        for path in paths:
            path.write_bytes(case.input(path.name).tobytes())
        people = ava_people.read_people(paths[0], 80).frames
        files = ava_people.read_frame_list(paths[1])
    every = [
        (video, number, second, people[name][second])
        for video, name in enumerate(files)
        for number, second in enumerate(people[name])
    ]
    rows = [
        (video, second, *box, len(actions), sum(actions))
        for video, _, second, found in every
        for box, actions in zip(found.boxes, found.actions, strict=True)
    ]
    centre, rate = ava_people.centre_frame, case.config["fps"]
    return {
        "keyframes": np.array([(v, n, second, centre(second, rate)) for v, n, second, _ in every]),
        "boxes": np.array(rows),
        "label_count": np.int64(sum(row[-2] for row in rows)),
        "unique_boxes": np.int64(len(rows)),
        "num_frames": np.array([len(frames) for frames in files.values()]),
    }


def normalised(frames: np.ndarray, mean, deviation) -> np.ndarray:
    """[channel, frame, height, width], as the published programs order it."""
    values = (frames.astype(np.float32) - np.float32(mean)) / np.float32(deviation)
    return np.moveaxis(values, -1, 0)


@runner("cycleacr", "alphaction/dataset/transforms/video_transforms.py")
def pixel_pipeline(case: Case) -> dict:
    config = case.config
    clip, boxes = case.input("clip"), case.input("boxes_xyxy")
    height, width = clip.shape[1:3]
    new = clip_frames.bounded_size(height, width, config["min_size"], config["max_size"])
    frames = opencv_resize(clip, new)
    boxes = pixel_boxes.resized(boxes, (width, height), new[::-1])
    names = ("hue_shift_cv", "sat_shift_255", "val_shift_255")
    shifted = shift_hsv(frames, *(config[name] for name in names))
    if config["flipped"]:
        boxes = pixel_boxes.mirrored(boxes, new[1])
    seen = shifted[:, :, ::-1] if config["flipped"] else shifted
    values = normalised(seen, config["mean"], config["std"])
    slow, fast = clip_frames.slow_and_fast(len(clip), config["tau"], config["alpha"])
    return {
        "resized": frames,
        "jittered": shifted,
        "slow": values[:, slow],
        "fast": values[:, fast],
        "boxes": boxes,
    }


STMIXER_CLIPS = (
    "alphaction/dataset/datasets/ava_dataset.py:Ava._images_and_boxes_preprocessing_cv2; "
    "utils.py:get_sequence,pack_pathway_output; collate_batch.py:BatchCollator"
)


@runner(
    "stmixer",
    STMIXER_CLIPS,
    fixed={"sequence_args": "center 60, 10, 26990; half length 32; 27000 frames; strides 2, 16, 4"},
)
def stmixer_clips(case: Case) -> dict:
    config, answers = case.config, {}
    frames = case.input("frames_bgr_u8")[..., ::-1]
    height, width = frames.shape[1:3]
    for name, side, flipped in (
        ("test", config["test_short_side"], False),
        ("train_flip", config["train_short_side"], config["flip_train"]),
    ):
        new = clip_frames.rounded_size(height, width, side)
        boxes = pixel_boxes.from_shares(case.input("boxes_normalised"), (width, height))
        boxes = boxes * np.float32(side / min(height, width))
        clip = opencv_resize(frames, new)
        if flipped:
            clip, boxes = clip[:, :, ::-1], pixel_boxes.mirrored(boxes, new[1])
        mean, deviation = (255 * np.array(config[key]) for key in ("mean", "std"))
        answers[f"{name}_clip"] = normalised(clip, mean, deviation)
        answers[f"{name}_boxes"] = pixel_boxes.clipped(boxes, new[::-1])
    for name, stride in (("slowfast", 2), ("slowonly", 16), ("vit", 4)):
        answers[f"sequence_{name}"] = np.stack(
            [clip_frames.around(centre, 64 // stride, stride, 27000) for centre in (60, 10, 26990)]
        )
    for total in (32, 16):
        answers[f"slow_indices_{total}_4"] = clip_frames.evenly(total, 4)
    # Clips of [3, 2, 5, 7] and [3, 2, 40, 33] that count their elements.
    clips = [
        np.arange(np.prod(s), dtype=np.float32).reshape(s) for s in ((3, 2, 5, 7), (3, 2, 40, 33))
    ]
    size = clip_frames.padded_size(
        np.array([clip.shape[2:] for clip in clips]), config["size_divisibility"]
    )
    padded = np.stack(
        [
            np.pad(c, ((0, 0), (0, 0), (0, size[0] - c.shape[2]), (0, size[1] - c.shape[3])))
            for c in clips
        ]
    )
    rows, columns = zip((0, 0), (4, 6), (5, 7), (39, 32), (40, 33), strict=True)
    return answers | {
        "collated_shape": np.array(padded.shape),
        "collated_sum_per_clip": padded.sum(axis=(1, 2, 3, 4)),
        "collated_corner_values": padded[..., rows, columns],
    }
