"""VideoMAE V2, ViT-g: pretraining on UnlabeledHybrid with dual masking.

    jaxvision train --config videomae/vit_g_hybrid_pretrain --workdir RUN \\
        --config.data.list=hybrid.txt --config.data.root=FOLDER

The published script's settings, 64 x 32 clips, 300 passes of four crops (1200 epochs).
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.videomae.recipes import pretraining


def get_config() -> ConfigDict:
    return pretraining("g", gpus=64, clips=32, learning_rate=6e-4, epochs=300, clip_norm=0.02)
