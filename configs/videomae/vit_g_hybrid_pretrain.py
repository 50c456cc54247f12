"""VideoMAE V2, ViT-g: pretraining on UnlabeledHybrid with dual masking.

    jaxvision train --config videomae/vit_g_hybrid_pretrain --workdir RUN \\
        --config.data.list=hybrid.txt --config.data.root=FOLDER

The published script's settings, 64 x 32 clips, 300 passes of four crops (1200 epochs).
On one GPU: videomae/vit_g_hybrid_pretrain:gpus=1, 32 clips a step.
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.videomae.recipes import pretraining
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    gpus = recipe_arguments(arguments, gpus=64).gpus
    return pretraining("g", gpus=gpus, clips=32, learning_rate=6e-4, epochs=300, clip_norm=0.02)
