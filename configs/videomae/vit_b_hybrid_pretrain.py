"""VideoMAE V2, ViT-B: pretraining on UnlabeledHybrid with dual masking.

    jaxvision train --config videomae/vit_b_hybrid_pretrain --workdir RUN \\
        --config.data.list=hybrid.txt --config.data.root=FOLDER

The published script's settings, 32 x 32 clips, 200 passes of four crops (800 epochs).
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.videomae.recipes import pretraining


def get_config() -> ConfigDict:
    return pretraining("b", gpus=32, clips=32, learning_rate=1e-3, epochs=200)
