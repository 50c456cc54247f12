"""What each setting of VideoMAE's recipes is: `jaxvision inspect` prints it with the value."""

from jaxvision.tasks.settings import CLIPS
from jaxvision.training.sizes import Sizes

SETTINGS = CLIPS | {
    # The encoder, and the decoder of pretraining.
    "model.cosine_attention": "scaled cosine similarity instead of dot products",
    "model.decoder_width": "of the decoder's tokens",
    "model.decoder_heads": "of the decoder's attention",
    "model.decoder_depth": "blocks of the decoder",
    # The classifier.
    "teacher": "the classifier that is distilled, as in `model`",
    # What is trained.
    "task.name": "reconstruction, classification, distillation or head (on a frozen encoder)",
    "task.encoder_mask": "tube (the same places in every frame) or random",
    "task.encoder_mask_ratio": "share of tokens hidden from the encoder",
    "task.decoder_mask_ratio": "share of tokens not decoded; 0 = decode all that are hidden",
    "task.normalise_target": "predict pixels less their cube's mean, over its deviation",
    "task.normalise_clip": "see and predict pixels less the visible cubes' mean colour, over their "
    "deviation",
    "task.probe": "evaluate how hidden cubes are filled in, and a probe that names the motion",
    "task.temperature": "that softens both answers in distillation",
    "task.label_weight": "share of the labels' loss in distillation",
    "task.features": "what predict writes: empty = classes; thumos14 or fineaction = features",
    # Where clips come from.
    "data.list": "file of lines PATH 0 -1, or FOLDER FIRST COUNT, to pretrain on",
    "data.clips": "clips of an epoch of the built-in pictures",
    "data.speed": "of the moving camera; 1 crosses about half the view in a clip",
    "data.reach": "how much of a picture the camera's path takes in, from and to, as shares",
}

SIZES = Sizes(
    least={"data.first_frame": 0},
    positive=("model.mlp_ratio", "teacher.mlp_ratio"),
    divisors={
        "model.heads": "model.width",
        "model.decoder_heads": "model.decoder_width",
        "model.patch": "model.image_size",
        "model.tubelet": "model.frames",
        "teacher.heads": "teacher.width",
        "teacher.patch": "teacher.image_size",
        "teacher.tubelet": "teacher.frames",
    },
    lengths={"model.image_size": 2, "teacher.image_size": 2},
)
