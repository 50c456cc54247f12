"""VideoMAE V2, ViT-B: your own videos and classes, on one GPU; docs/own_videos.md walks through it.

    jaxvision train --config videomae/own_videos --workdir RUN \\
        --config.data.train=FOLDER --config.data.validation=FOLDER

Not published: the settings are ours, those of the published fine-tuning of ViT-B with the learning
rate and the epochs of UCF101 after Kinetics-710. 16 clips a step; the rate is per 256 clips, so it
is a sixteenth of 1e-3 here (the linear rule, 1706.02677, section 2.1), and follows
--config.train.batch_size. Starts from the weights published as videomae/vit_b_k710 (fetched if they
are not here), their head left out.
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.videomae.recipes import finetuning


def get_config() -> ConfigDict:
    config = finetuning(
        "b",
        "ucf101",
        gpus=1,
        clips=16,
        learning_rate=1e-3,
        epochs=50,
        layer_decay=0.75,
        drop_path=0.1,
        head_dropout=0.5,
        start="k710",
        weights="videomae/vit_b_k710",
    )
    # The best epoch is kept, and no more than a minute is lost.
    config.evaluate.every_epochs = 1.0
    config.checkpoint.best = "validation/top1"
    config.checkpoint.every_minutes = 1.0
    return config
