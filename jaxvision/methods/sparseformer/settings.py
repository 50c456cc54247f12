"""What each setting of SparseFormer's recipes is: `jaxvision inspect` prints it with the value."""

from jaxvision.training.sizes import Sizes

SETTINGS = {
    "model.flavour": "whose network: paper, package (their later code), augreg or clip",
    "model.tokens": "latent tokens, each with a box of its own",
    "model.points": "sampled by each token",
    "model.channels": "of the early convolution's feature map",
    "model.widths": "of tokens in the focusing and in the cortex transformer",
    "model.cortex": "blocks of the cortex transformer",
    "model.repeats": "times the focusing transformer is applied",
    "model.drop_path": "rate of the last block; the first has 0",
    "task.name": "classification",
    "task.scale": "least and most area of a training crop, as shares of the picture",
    "task.flip": "probability that a crop is mirrored",
    "task.record_repeats": "times in a row each record comes in an epoch",
    "task.rand_augment": "a policy in timm's notation; empty = none",
    "task.erase_probability": "of random erasing",
    "task.mixup_alpha": "of the Beta distribution that mixup draws from; 0 = none",
    "task.cutmix_alpha": "of the Beta distribution that CutMix draws from; 0 = none",
    "task.label_smoothing": "share of the target spread over all classes",
    "data.name": "folder, tfds or digits (built-in)",
    "data.root": "folder before data.train and data.validation, or where tfds keeps its data",
    "data.train": "folder of class folders, or list file",
    "data.validation": "folder of class folders, or list file",
    "data.dataset": "of tfds",
    "data.labels": "file of class names, one a line; empty = names of the class folders",
    "data.size": "side of the network's input (pixels)",
    "data.short_side": "of a picture before its centre is cut out in evaluation (pixels)",
    "data.resampling": "bicubic or bilinear, in evaluation",
    "data.normalisation": "mean and deviation of pixels: imagenet, half or clip",
}

SIZES = Sizes(lengths={"model.widths": 2})
