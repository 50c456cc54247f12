"""What the published recipes share; configs/umt/ holds a recipe a task, variants by argument."""

from typing import Any, NamedTuple

from ml_collections import ConfigDict

from jaxvision.errors import InputError, check_choice
from jaxvision.methods.umt.transfer import fresh_head, from_k710, from_pretraining, to_detector
from jaxvision.methods.umt.variants import (
    CLASSES,
    SIZES,
    classifier_table,
    detector_table,
    student_table,
    teacher_table,
)
from jaxvision.nn.video_transformer import grid_of
from jaxvision.tasks import frozen_head
from jaxvision.tasks.video_classification import default_data, default_settings
from jaxvision.training.config import base_config

DROP_PATH = {"b": 0.1, "l": 0.2}
LAYER_DECAY = {"b": 0.75, "l": 0.85}
TEACHER_FILES = {
    "b16": "clip-vit-base-patch16/model.safetensors",
    "l14": "clip-vit-large-patch14/model.safetensors",
}


class Script(NamedTuple):
    """A published fine-tuning script.

    start: the official file it starts from, but for the size before it; link: what becomes of it.
    gpus x clips x crops: the batch.  learning_rate: per 256 crops.  warmup: epochs.
    segments, test_crops: views of a test.
    """

    start: str
    learning_rate: float
    epochs: int
    warmup: int
    gpus: int = 16
    clips: int = 16
    crops: int = 2
    frames: int = 8
    side: int = 224
    weight_decay: float = 0.05
    segments: int = 4
    test_crops: int = 3


STAGE1_FILE = "16_ptk710_f8_res224.pth"  # behind the size
_K710 = "16_ptk710_ftk710_f8_res224.pth"
_K400 = "16_ptk710_ftk710_ftk400_f8_res224.pth"
_MIT = "16_ptk710_ftk710_ftk400_ftmitv1_f8_res224.pth"
_KINETICS = {
    "b": Script(_K710, 2e-5, 5, 1),
    "l": Script(_K710, 1e-5, 5, 1),
    "l_f16": Script(_K710, 1e-5, 5, 1, clips=8, frames=16, test_crops=1),
}
# {set: {size, "_f16" or "_res384": settings}} (single_modality/exp/finetuning)
SCRIPTS: dict[str, dict[str, Script]] = {
    "k710": {"b": Script(STAGE1_FILE, 2e-4, 35, 2), "l": Script(STAGE1_FILE, 1e-4, 20, 2)},
    "k400": _KINETICS,
    "k600": _KINETICS,
    "k700": _KINETICS,
    "mit": {
        "b": Script(_K400, 1e-4, 40, 5, clips=32, crops=1),
        "l": Script(_K400, 1e-4, 20, 5, clips=32, crops=1),
        "b_res384": Script(_MIT, 1e-5, 4, 1, crops=1, side=384, weight_decay=0.1),
        "l_res384": Script(
            _MIT, 1e-5, 4, 1, clips=8, crops=1, side=384, weight_decay=0.1, segments=6
        ),
    },
    "ssv2": {
        "b": Script(STAGE1_FILE, 2e-4, 30, 5, segments=2),
        "l": Script(STAGE1_FILE, 4e-4, 14, 4, segments=2),
    },
}


def pretraining(size: str, *, gpus: int, clips: int = 64) -> ConfigDict:
    """Stage 1 on Kinetics-710 (single_modality/exp/pretraining). gpus x clips: the batch; learning
    rates are per 256 clips."""
    config = base_config()
    config.method = "umt"
    config.dtype = "bfloat16"
    config.model = ConfigDict(student_table(size))
    config.model.drop_path = DROP_PATH[size]
    config.teacher = ConfigDict(teacher_table(SIZES[size].teacher))
    config.task = ConfigDict(
        {
            "name": "stage1",
            "mask_ratio": 0.8,
            "loss": "l2",
            "spare_teacher": True,
            "flip": True,
        }
    )
    config.data.update(
        {
            "name": "videos",
            "list": "",  # lines "PATH,LABEL"; the label is not used
            "root": "",
            "frame_template": "img_{:05}.jpg",
            "first_frame": 1,
        }
    )
    config.train.batch_size = gpus * clips
    config.train.epochs = 201.0
    config.optim.b2 = 0.95
    config.optim.learning_rate = ConfigDict(
        {"name": "cosine", "peak": 1.5e-4, "end": 1e-5, "warmup_epochs": 40}
    )
    config.optim.batch_scaling = 256
    config.optim.weight_decay.value = 0.05
    config.frozen.dtype = "bfloat16"
    config.init = ({"from": TEACHER_FILES[SIZES[size].teacher], "to": "teacher", "adapt": True},)
    return config


def finetuning(labels: str, size: str, *, form: str = "", gpus: int = 0) -> ConfigDict:
    """A published fine-tuning script.

    labels: a key of SCRIPTS.  form: "f16" (16 frames) or "res384" (384 pixels), where there is one.
    gpus: how many there are, each with its published clips; 0 = as published.
    """
    check_choice("recipe argument 'set'", labels, SCRIPTS)
    name = f"{size}_{form}" if form else size
    if name not in SCRIPTS[labels]:
        known = ", ".join(SCRIPTS[labels])
        raise InputError(f"no published script of {labels} is called {name!r}; there are {known}")
    script = SCRIPTS[labels][name]
    gpus = gpus or script.gpus
    config = base_config()
    config.method = "umt"
    config.dtype = "bfloat16"
    config.model = ConfigDict(classifier_table(size))
    config.model.drop_path = DROP_PATH[size]
    config.model.frames = script.frames
    config.model.image_size = (script.side, script.side)
    config.task = ConfigDict(default_settings())
    del config.task["features"]
    config.task.sampling = "uniform"
    config.task.crops_per_clip = script.crops
    config.task.layer_decay = LAYER_DECAY[size]
    config.task.segments, config.task.crops = script.segments, script.test_crops
    if labels == "ssv2":
        config.task.sampling, config.task.flip = "spread", False
    config.data.update(default_data())
    config.train.batch_size = gpus * script.clips
    config.train.draw_groups = gpus
    config.train.epochs = float(script.epochs)
    # Every rate of the scripts is per 256 crops, the crops of one clip counted each.
    config.optim.learning_rate = ConfigDict(
        {
            "name": "cosine",
            "peak": script.crops * script.learning_rate,
            "end": script.crops * 1e-6,
            "start": script.crops * 1e-6,
            "warmup_epochs": script.warmup,
        }
    )
    config.optim.batch_scaling = 256
    config.optim.weight_decay.value = script.weight_decay
    config.init = ({"from": size + script.start, **_link(labels, script.start)},)
    return config


# The encoder of a network that also reads words (stage 2 and what is tuned from it).
VISION_TOWER = (r"^params/vision/encoder/", "params/encoder/")


def head(size: str, *, weights: str, pooling: str) -> ConfigDict:
    """A head on the frozen encoder of `weights`: a published file, or the workdir of a run, whose
    network it then is."""
    config = finetuning("k710", size, gpus=1)
    config.model.drop_path = 0.0
    trained = frozen_head.on_video_encoder(config, weights, pooling)
    if trained and "position_window" not in trained:  # of a student, whose positions are its own
        config.model.position_window = grid_of(config.model).window
        config.init = ({**config.init[0], "rename": (VISION_TOWER,)},)
    return config


class DetectionScript(NamedTuple):
    """A published script of action detection. gpus x clips: the batch."""

    gpus: int
    clips: int
    drop_path: float
    epochs: int


DETECTION_SCRIPTS = {"b": DetectionScript(16, 8, 0.2, 30), "l": DetectionScript(32, 4, 0.4, 25)}


def detection(size: str, *, gpus: int = 0) -> ConfigDict:
    """Action detection on AVA 2.2 (single_modality/action_detection/exp). gpus: how many there are,
    each with its published clips; 0 = as published."""
    check_choice("recipe argument 'size'", size, DETECTION_SCRIPTS)
    script = DETECTION_SCRIPTS[size]
    gpus = gpus or script.gpus
    config = base_config()
    config.method = "umt"
    config.dtype = "bfloat16"
    config.model = ConfigDict(detector_table(size))
    config.model.drop_path = script.drop_path
    config.task = ConfigDict(
        {
            "name": "detection",
            "stride": 8,
            "short_side": 256,
            "crop": 224,
            "flip": True,
            "hue_shift": 10,
            "shade_shift": 26,
            "layer_decay": LAYER_DECAY[size],
            "threshold": 0.8,
            "evaluation_batch": 8,
            "most_buckets": 8,
            "shown": 0.5,
            "every_seconds": 1.0,
        }
    )
    config.data.update(
        {
            "name": "ava",
            "root": "clips/trainval",
            "train": "annotations/ava_train_v2.2_min.json",
            "validation": "annotations/ava_val_v2.2_min.json",
            "detections": "boxes/ava_val_det_person_bbox.json",
            "truth": "annotations/ava_val_v2.2.csv",
            "labels": "annotations/ava_action_list_v2.2_for_activitynet_2019.pbtxt",
            "excluded": "annotations/ava_val_excluded_timestamps_v2.2.csv",
            "classes": 80,
            "people": 100,
            # Of drawn figures.
            "height": 256,
            "width": 320,
        }
    )
    config.train.batch_size = gpus * script.clips
    config.train.loss_groups = gpus
    config.train.epochs = float(script.epochs)
    config.optim.learning_rate = ConfigDict(
        {"name": "cosine", "peak": 2.5e-4, "end": 1e-6, "start": 0.0, "warmup_epochs": 5}
    )
    config.optim.batch_scaling = 256
    config.optim.weight_decay.value = 0.05
    config.init = ({"from": size + _K710, **to_detector()},)
    return config


def _link(labels: str, start: str) -> dict[str, Any]:
    if start == STAGE1_FILE:
        return from_pretraining()
    if start == _MIT:
        return {}
    return fresh_head() if labels == "mit" else from_k710(CLASSES[labels])
