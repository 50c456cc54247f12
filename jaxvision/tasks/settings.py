"""What each setting is that the recipes of several methods share; a method's `SETTINGS` takes these
lines in and adds its own."""

# How classification softens samples and labels (`classification.Softening`).
SOFTENING = {
    "task.erase_probability": "of random erasing",
    "task.mixup_alpha": "of the Beta distribution that mixup draws from; 0 = none",
    "task.cutmix_alpha": "of the Beta distribution that CutMix draws from; 0 = none",
    "task.label_smoothing": "share of the target spread over all classes",
}
# Augmented crops, and names of classes.
LABELLED = SOFTENING | {
    "model.drop_path": "rate of the last block; the first has 0",
    "task.rand_augment": "a policy in timm's notation; empty = none",
    "data.labels": "file of class names or a list of data/class_lists; empty = the class folders'",
}
# A head on a frozen backbone (`frozen_head`).
HEAD = {
    "task.views": "of a training record whose features are kept: as validation sees it, and drawn",
    "data.features": "folder that keeps features of a frozen backbone; empty = train from pixels",
}
# A plain video transformer, the clips it is trained on, and its classifier.
CLIPS = LABELLED | {
    **HEAD,
    "model.frames": "of a clip",
    "model.image_size": "height and width of a clip (pixels)",
    "model.tubelet": "frames of a cube, one token each",
    "model.patch": "side of a cube (pixels)",
    "model.width": "of the encoder's tokens",
    "model.heads": "of the encoder's attention",
    "model.depth": "blocks of the encoder",
    "model.mlp_ratio": "hidden width of an MLP as a multiple of the tokens'",
    "model.qkv_bias": "whether queries and values have a bias (keys never)",
    "model.layer_scale": "first value of each block's learnt scales; 0 = none",
    "model.position_table": "learnt positions instead of sines and cosines",
    "model.remat": "what is computed again in the backward pass: none, dots or full",
    "model.pooling": "mean of all tokens, or the first one; of a head: attention, or mean",
    "model.dropout": "rate on tokens and inside the blocks",
    "model.attention_dropout": "rate on attention weights",
    "model.head_dropout": "rate before the classifier's last layer",
    "model.init_scale": "factor on the first values of the classifier's last layer",
    "task.sampling": "dense (frames `stride` apart), or segments, uniform, spread (each part's)",
    "task.stride": "frames from one frame of a dense clip to the next",
    "task.crops_per_clip": "augmented crops of each decoded clip",
    "task.flip": "mirror half of the crops",
    "task.mix_probability": "that a group is mixed at all",
    "task.mix_switch": "probability of CutMix where mixup is on, too",
    "task.layer_decay": "factor on the learning rate from each block to the one before it",
    "task.segments": "test clips of each video",
    "task.crops": "test crops of each clip",
    "task.merge": "of a video's views: prob (mean of probabilities) or score (of logits)",
    "task.test": "evaluate all views of each video, too",
    "data.name": "videos (to pretrain on), files, tfds or camera (built-in)",
    "data.root": "folder before every path of a list; of camera: pictures instead of the built-in",
    "data.train": "list file or folder of class folders; of tfds: DATASET:SPLIT",
    "data.validation": "list file or folder of class folders; of tfds: DATASET:SPLIT",
    "data.frame_template": "file name of a picture in a video's folder, by its number",
    "data.first_frame": "number of the first picture in a video's folder",
}
