"""What each setting of SparseFormer's recipes is: `jaxvision inspect` prints it with the value."""

from jaxvision.tasks.settings import HEAD, LABELLED
from jaxvision.training.sizes import Sizes

SETTINGS = LABELLED | {
    **HEAD,
    "model.flavour": "whose network: paper, package (their later code), augreg or clip",
    "model.tokens": "latent tokens, each with a box of its own",
    "model.points": "sampled by each token",
    "model.channels": "of the early convolution's feature map",
    "model.widths": "of tokens in the focusing and in the cortex transformer",
    "model.cortex": "blocks of the cortex transformer",
    "model.repeats": "times the focusing transformer is applied",
    "model.pooling": "of a head: attention (a query's), or mean (the published embedding)",
    "model.head_dropout": "rate before a head's last layer",
    "task.name": "classification, or head (on a frozen network)",
    "task.scale": "least and most area of a training crop, as shares of the picture",
    "task.flip": "probability that a crop is mirrored",
    "task.record_repeats": "times in a row each record comes in an epoch",
    "data.name": "folder, tfds or digits (built-in)",
    "data.root": "folder before data.train and data.validation, or where tfds keeps its data",
    "data.train": "folder of class folders, or list file",
    "data.validation": "folder of class folders, or list file",
    "data.dataset": "of tfds",
    "data.size": "side of the network's input (pixels)",
    "data.short_side": "of a picture before its centre is cut out in evaluation (pixels)",
    "data.resampling": "bicubic or bilinear, in evaluation",
    "data.normalisation": "mean and deviation of pixels: imagenet, half or clip",
}

SIZES = Sizes(lengths={"model.widths": 2})
