"""VideoMAE V2, ViT-H: Kinetics-710 (post-pretraining).

    jaxvision train --config videomae/vit_h_k710_finetune --workdir RUN \
        --config.data.train=train.csv --config.data.validation=val.csv \
        --config.data.labels=labels.txt --config.data.root=FOLDER
    jaxvision evaluate --workdir RUN --only test --config.task.test=True

The published script's settings, 32 x 4 clips. Starts from vit_h_hybrid_pt_1200e.pth.
Published: not in the model zoo.
On one GPU: videomae/vit_h_k710_finetune:gpus=1, 4 clips a step.
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.videomae.recipes import finetuning
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    gpus = recipe_arguments(arguments, gpus=32).gpus
    return finetuning(
        "h",
        "k710",
        gpus=gpus,
        clips=4,
        learning_rate=1e-3,
        epochs=40,
        layer_decay=0.8,
        drop_path=0.2,
        head_dropout=0.5,
        weights="vit_h_hybrid_pt_1200e.pth",
    )
