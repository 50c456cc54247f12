"""VideoMAE V2, ViT-g: pretraining on UnlabeledHybrid with dual masking, on one GPU.

    jaxvision train --config videomae/vit_g_hybrid_pretrain_1gpu --workdir RUN \\
        --config.data.list=hybrid.txt --config.data.root=FOLDER

The published settings of vit_g_hybrid_pretrain with the batch of one
of its 64 GPUs: 32 clips.
Scaling rule: linear (1706.02677, section 2.1), as in the published scripts: the learning rate is
per 256 clips, so its peak is 7.5e-05 here. Epochs are kept, so there are 64 times as many
steps.
Published: not published for this batch.
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.videomae.recipes import on_one_gpu


def get_config() -> ConfigDict:
    return on_one_gpu("vit_g_hybrid_pretrain", gpus=64)
