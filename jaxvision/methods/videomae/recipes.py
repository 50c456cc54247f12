"""What the published fine-tuning recipes share; configs/videomae/ holds what is each one's own."""

from typing import Any

from ml_collections import ConfigDict

from jaxvision.methods.videomae.transfer import from_k710, from_pretraining
from jaxvision.methods.videomae.variants import CLASSES, classifier_table, pretraining_table
from jaxvision.tasks import frozen_head
from jaxvision.tasks.video_classification import default_data, default_settings
from jaxvision.training.config import base_config


def finetuning(
    size: str,
    labels: str,
    *,
    gpus: int,
    clips: int,
    learning_rate: float,
    epochs: int,
    layer_decay: float,
    drop_path: float,
    head_dropout: float = 0.0,
    weight_decay: float = 0.05,
    warmup_epochs: int = 5,
    clip_norm: float = 0.0,
    stride: int = 4,
    start: str = "pretraining",
    weights: str = "",
) -> ConfigDict:
    """A row of the paper's table of fine-tuning settings (supplement; scripts/finetune).

    labels: a key of CLASSES; Something-Something samples segments and never flips.
    gpus x clips: the batch; each GPU draws its own mixing. On fewer GPUs than published, each still
        takes its clips, and epochs stay.
    learning_rate: per 256 clips, so that it shrinks with the batch (the linear rule of 1706.02677,
        section 2.1, which the published scripts apply too).
    stride: between frames of a clip.
    start: where `weights` come from: "pretraining", or "k710" (a Kinetics head keeps its classes'
        rows, any other starts fresh).
    """
    config = base_config()
    config.method = "videomae"
    config.dtype = "bfloat16"
    config.model = ConfigDict(classifier_table(size))
    config.model.drop_path = drop_path
    config.model.head_dropout = head_dropout
    config.task = ConfigDict(default_settings())
    config.task.layer_decay = layer_decay
    config.task.stride = stride
    if labels == "ssv2":
        config.task.sampling, config.task.flip = "segments", False
        config.task.segments = 2
    config.data.update(default_data())
    config.train.batch_size = gpus * clips
    config.train.draw_groups = gpus
    config.train.epochs = float(epochs)
    config.optim.learning_rate = ConfigDict(
        {"name": "cosine", "peak": learning_rate, "end": 1e-6, "warmup_epochs": warmup_epochs}
    )
    config.optim.batch_scaling = 256
    config.optim.weight_decay.value = weight_decay
    config.optim.clip_norm = clip_norm
    if size in ("h", "g"):
        config.model.remat = "full"
    if weights:
        config.init = ({"from": weights, **_link(start, CLASSES[labels])},)
    return config


def head(size: str, *, weights: str, pooling: str) -> ConfigDict:
    """A head on the frozen encoder of `weights`: a published file, or the workdir of a run, whose
    network it then is."""
    config = finetuning(
        size,
        "ucf101",
        gpus=1,
        clips=16,
        learning_rate=1e-3,
        epochs=40,
        layer_decay=1.0,
        drop_path=0.0,
    )
    frozen_head.on_video_encoder(config, weights, pooling)
    return config


def distillation(size: str, *, gpus: int, weights: str, teacher_weights: str) -> ConfigDict:
    """ViT-g's answers on Kinetics-710 into a small classifier that has been post-pretrained there.

    Not published: all settings are ours, taken from the student's own Kinetics-710 recipe.
    """
    config = finetuning(
        size,
        "k710",
        gpus=gpus,
        clips=16,
        learning_rate=7e-4,
        epochs=90,
        layer_decay=0.75,
        drop_path=0.1,
    )
    config.teacher = ConfigDict(classifier_table("g"))
    config.task.name = "distillation"
    config.task.update({"temperature": 1.0, "label_weight": 0.0})
    config.init = ({"from": weights}, {"from": teacher_weights, "to": "teacher"})
    return config


def pretraining(
    size: str, *, gpus: int, clips: int, learning_rate: float, epochs: int, clip_norm: float = 0.0
) -> ConfigDict:
    """A row of the paper's table of pretraining settings (supplement; scripts/pretrain).

    gpus x clips: the batch of decoded clips, each cropped four times.
    learning_rate: per 256 clips.  epochs: passes over the list; a tenth of them warm-up.
    """
    config = base_config()
    config.method = "videomae"
    config.dtype = "bfloat16"
    config.model = ConfigDict(pretraining_table(size))
    if size in ("h", "g"):
        config.model.remat = "full"
    config.task = ConfigDict(
        {
            "name": "reconstruction",
            "encoder_mask": "tube",
            "encoder_mask_ratio": 0.9,
            "decoder_mask_ratio": 0.5,  # of all tokens; 0 = decode whatever the encoder misses
            "normalise_target": True,
            "normalise_clip": False,
            "probe": False,
            "stride": 4,  # Something-Something: 2, told by its path
            "crops_per_clip": 4,  # crops of each decoded clip
        }
    )
    config.data.update(
        {
            "name": "videos",
            "list": "",  # lines "PATH 0 -1", or "FOLDER FIRST COUNT" of picture files
            "root": "",
            "frame_template": "img_{:05}.jpg",
        }
    )
    config.train.batch_size = gpus * clips
    config.train.epochs = float(epochs)
    config.optim.b2 = 0.95
    config.optim.learning_rate = ConfigDict(
        {"name": "cosine", "peak": learning_rate, "end": 1e-5, "warmup_epochs": epochs // 10}
    )
    config.optim.batch_scaling = 256
    config.optim.weight_decay.value = 0.05
    config.optim.clip_norm = clip_norm
    return config


def _link(start: str, classes: int) -> dict[str, Any]:
    if start == "pretraining":
        return from_pretraining()
    if classes in (400, 600, 700):
        return from_k710(classes)
    return {} if classes == 710 else {"drop": (r"^params/head/",)}
