"""VideoMAE V2, ViT-L: pretraining on UnlabeledHybrid with dual masking, on one GPU.

    jaxvision train --config videomae/vit_l_hybrid_pretrain_1gpu --workdir RUN \\
        --config.data.list=hybrid.txt --config.data.root=FOLDER

The published settings of vit_l_hybrid_pretrain with the batch of one
of its 48 GPUs: 32 clips.
Scaling rule: linear (1706.02677, section 2.1), as in the published scripts: the learning rate is
per 256 clips, so its peak is 0.000125 here. Epochs are kept, so there are 48 times as many
steps.
Published: not published for this batch.
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.videomae.recipes import on_one_gpu


def get_config() -> ConfigDict:
    return on_one_gpu("vit_l_hybrid_pretrain", gpus=48)
