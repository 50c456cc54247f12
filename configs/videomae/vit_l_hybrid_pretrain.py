"""VideoMAE V2, ViT-L: pretraining on UnlabeledHybrid with dual masking.

    jaxvision train --config videomae/vit_l_hybrid_pretrain --workdir RUN \\
        --config.data.list=hybrid.txt --config.data.root=FOLDER

The published script's settings, 48 x 32 clips, 300 passes of four crops (1200 epochs).
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.videomae.recipes import pretraining


def get_config() -> ConfigDict:
    return pretraining("l", gpus=48, clips=32, learning_rate=1e-3, epochs=300)
