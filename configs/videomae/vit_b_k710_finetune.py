"""VideoMAE V2, ViT-B: Kinetics-710 (post-pretraining).

    jaxvision train --config videomae/vit_b_k710_finetune --workdir RUN \
        --config.data.train=train.csv --config.data.validation=val.csv \
        --config.data.labels=labels.txt --config.data.root=FOLDER
    jaxvision evaluate --workdir RUN --only test --config.task.test=True

The published script's settings, 32 x 16 clips. Starts from vit_b_hybrid_pt_800e.pth.
Published: not published (distilled from ViT-g: 81.5 % top-1).
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.videomae.recipes import finetuning


def get_config() -> ConfigDict:
    return finetuning(
        "b",
        "k710",
        gpus=32,
        clips=16,
        learning_rate=7e-4,
        epochs=90,
        layer_decay=0.75,
        drop_path=0.1,
        weights="vit_b_hybrid_pt_800e.pth",
    )
