"""VideoMAE V2, ViT-S: distillation from ViT-g on Kinetics-710.

    jaxvision train --config videomae/vit_s_k710_distill --workdir RUN \\
        --config.data.train=train.csv --config.data.validation=val.csv \\
        --config.data.labels=labels.txt --config.data.root=FOLDER

The student starts from its own post-pretrained weights, runs/vit_s_k710 (the workdir of a run).
The paper's settings were not published: these are ours.
Published: 77.6 % top-1 (16x5x3 views) for the authors' own distillation.
On one GPU: videomae/vit_s_k710_distill:gpus=1, 16 clips a step.
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.videomae.recipes import distillation
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    gpus = recipe_arguments(arguments, gpus=32).gpus
    return distillation(
        "s",
        gpus=gpus,
        weights="runs/vit_s_k710",
        teacher_weights="vit_g_hybrid_pt_1200e_k710_ft.pth",
    )
