"""What each setting of CoMAE's recipes is; `jaxvision inspect` prints it beside the value."""

from jaxvision.tasks.settings import SOFTENING
from jaxvision.training.sizes import Sizes

SETTINGS = SOFTENING | {
    "model.width": "of the encoder's tokens",
    "model.depth": "blocks of the encoder",
    "model.heads": "of the encoder's attention",
    "model.mlp_ratio": "hidden width of an MLP as a multiple of the tokens'",
    "model.image_size": "side of a picture as the network takes it (pixels)",
    "model.patch": "side of a patch (pixels)",
    "model.remat": "what is computed again in the backward pass: none, full or dots",
    "model.decoder_width": "of the decoder's tokens",
    "model.decoder_heads": "of the decoder's attention",
    "model.decoder_depth": "blocks of the decoder",
    "model.pooling": "mean of the patches, or class_token: mean of both class tokens",
    "model.drop_path": "rate of the last block; the first has 0",
    "task.name": "contrast (stage 1), autoencoder (2) or classification (3)",
    "task.scale": "least and most area of a training crop, as shares of the picture",
    "task.aspect": "least and most width/height of a training crop",
    "task.flip": "probability that both pictures are mirrored",
    "task.mask_ratio": "share of each modality's patches that is removed",
    "task.normalise_target": "predict pixels less their patch's mean, over its deviation",
    "task.erase_probability": "of a black rectangle in the joined canvas",
    "task.erase_area": "of that rectangle, as a share of the canvas",
    "task.erase_aspect": "of that rectangle, height/width",
    "task.layer_decay": "factor on the learning rate per layer towards the embedding",
    "data.name": "canvases (published layout), pairs (one's own) or rooms (made up)",
    "data.root": "folder before data.train and data.validation",
    "data.train": "folder of class folders; of rooms: how many",
    "data.validation": "folder of class folders; of rooms: how many",
    "data.labels": "file of class names, one a line; empty = the training folders' names",
    "data.depth_unit": "of 16-bit depth: millimetres, sunrgbd or tenth_millimetres",
    "data.side": "of made-up pictures (pixels)",
}

SIZES = Sizes(
    positive=("model.mlp_ratio",),
    divisors={
        "model.heads": "model.width",
        "model.decoder_heads": "model.decoder_width",
        "model.patch": "model.image_size",
    },
)
