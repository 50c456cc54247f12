"""VideoMAE V2, ViT-L: Kinetics-400.

    jaxvision train --config videomae/vit_l_k400_finetune --workdir RUN \
        --config.data.train=train.csv --config.data.validation=val.csv \
        --config.data.labels=labels.txt --config.data.root=FOLDER
    jaxvision evaluate --workdir RUN --only test --config.task.test=True

The published script's settings, 32 x 6 clips. Starts from vit_l_hybrid_pt_1200e.pth.
Published: not in the model zoo.
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.videomae.recipes import finetuning


def get_config() -> ConfigDict:
    return finetuning(
        "l",
        "k400",
        gpus=32,
        clips=6,
        learning_rate=2e-3,
        epochs=35,
        layer_decay=0.75,
        drop_path=0.2,
        weights="vit_l_hybrid_pt_1200e.pth",
    )
